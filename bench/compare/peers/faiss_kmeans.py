"""FAISS: its Kmeans class, and its torch k-means, whose points may lie on the GPU."""

from peers.base import Peer


class Faiss(Peer):
    """What both have in common."""

    install = "pip install faiss-gpu-cuvs 'libcuvs-cu13==26.6.*', or faiss-cpu for the CPU"
    devices = ("cuda", "cpu")
    types = ("float",)
    most_flops = 2e13
    first_call = "loads its kernels"
    clock = "host"
    memory = "device"

    def why_missing(self):
        why = super().why_missing()
        if why is None and self.device == "cuda":
            import faiss
            if not hasattr(faiss, "StandardGpuResources") or faiss.get_num_gpus() < 1:
                return "this faiss was built without GPU support, or sees no GPU"
        return why

    def version(self):
        import faiss
        return f"{faiss.__version__} ({faiss.get_compile_options().strip()})"


class FaissKMeans(Faiss):
    title = "FAISS"
    module = "faiss"
    verbs = ("assign", "fit")
    data = "on the host, where its interface takes it; an assignment's on the device"
    synchronises = "each iteration; means are computed on the host"
    extra_work = "copies the points to the device in every iteration"

    def prepare(self, problem):
        import faiss
        import faiss.contrib.torch_utils  # noqa: F401: teaches knn_gpu about tensors
        super().prepare(problem)
        on_gpu = self.device == "cuda"
        self.x = list(problem.flat())
        if problem.verb == "assign":
            self.resources = faiss.StandardGpuResources() if on_gpu else None
        else:
            self.x = [part.cpu().numpy() for part in self.x]
            self.starts = [part.cpu().numpy() for part in problem.start]
        self.found, self.now = None, []

    def restart(self, verb):
        if verb != "fit":
            return
        import faiss
        shape = self.problem.shape
        # One for all problems: each sets memory of the device aside.
        self.model = faiss.Kmeans(shape.d, shape.k, niter=self.problem.iterations,
                                  gpu=1 if self.device == "cuda" else False,
                                  min_points_per_centroid=1,
                                  max_points_per_centroid=(1 << 31) - 1)

    def assign(self):
        import faiss
        if self.device == "cuda":
            self.found = [faiss.knn_gpu(self.resources, x, c, 1)[1]
                          for x, c in zip(self.x, self.problem.start)]
        else:
            self.found = [faiss.knn(x, c, 1)[1] for x, c in zip(self.x, self.problem.start)]

    def fit(self):
        self.now, self.done = [], 0
        for x, start in zip(self.x, self.starts):
            self.model.train(x, init_centroids=start)
            self.now.append(self.model.centroids.copy())
            self.done += len(self.model.obj) / len(self.x)

    def labels(self):
        import torch
        return None if self.found is None else torch.stack(self.found)

    def centroids(self):
        import torch
        return torch.stack([torch.from_numpy(centroids) for centroids in self.now])

    def iterations(self):
        return self.done  # it stops where the sum of distances no longer changes


class FaissTorch(Faiss):
    title = "FAISS (torch)"
    module = "faiss.contrib.torch.clustering"
    verbs = ("fit",)
    synchronises = "each iteration; labels go to the host and are counted there"
    extra_work = "draws a permutation of the points on the host before it begins"

    def prepare(self, problem):
        import faiss
        from faiss.contrib.torch import clustering
        super().prepare(problem)

        class Started:
            """Begins with the given centroids and not with points that it draws."""

            def get_subset(self, indices):
                return self.start.clone()

        def dataset(x, start):
            if self.device == "cuda":
                base, arguments = clustering.DatasetAssignGPU, (self.resources, x)
            else:
                base, arguments = clustering.DatasetAssign, (x,)
            made = type("Dataset", (Started, base), {})(*arguments)
            made.start = start
            return made

        if self.device == "cuda":
            self.resources = faiss.StandardGpuResources()
        self.sets = [dataset(x, start) for x, start in zip(problem.flat(), problem.start)]
        self.now = None

    def fit(self):
        from faiss.contrib.torch.clustering import kmeans
        self.now = [kmeans(self.problem.shape.k, one, niter=self.problem.iterations, verbose=False)
                    for one in self.sets]

    def centroids(self):
        import torch
        return torch.stack(self.now)
