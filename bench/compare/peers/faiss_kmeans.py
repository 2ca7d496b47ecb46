"""FAISS: its Kmeans class, and its torch k-means, whose points may lie on the GPU."""

from peers.base import Peer


class Faiss(Peer):
    """What both have in common."""

    distribution = "faiss-gpu-cu12"
    devices = ("cuda", "cpu")
    types = ("float",)
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
        return faiss.__version__


class FaissKMeans(Faiss):
    title = "FAISS"
    module = "faiss"
    install = "pip install faiss-gpu-cu12   # on the CPU: faiss-cpu"
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
        self.found, self.models = None, []

    def restart(self, verb):
        if verb != "fit":
            return
        import faiss
        shape = self.problem.shape
        self.models = [faiss.Kmeans(shape.d, shape.k, niter=self.problem.iterations,
                                    gpu=1 if self.device == "cuda" else False,
                                    min_points_per_centroid=1, max_points_per_centroid=(1 << 31) - 1)
                       for _ in self.x]

    def assign(self):
        import faiss
        if self.device == "cuda":
            self.found = [faiss.knn_gpu(self.resources, x, c, 1)[1]
                          for x, c in zip(self.x, self.problem.start)]
        else:
            self.found = [faiss.knn(x, c, 1)[1] for x, c in zip(self.x, self.problem.start)]

    def fit(self):
        for model, x, start in zip(self.models, self.x, self.starts):
            model.train(x, init_centroids=start)

    def labels(self):
        import torch
        return None if self.found is None else torch.stack(self.found)

    def centroids(self):
        import torch
        return torch.stack([torch.from_numpy(model.centroids.copy()) for model in self.models])


class FaissTorch(Faiss):
    title = "FAISS (torch)"
    module = "faiss.contrib.torch.clustering"
    install = "pip install faiss-gpu-cu12 torch"
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
