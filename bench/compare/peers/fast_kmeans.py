"""fastkmeans (Answer.AI)."""

from peers.base import Peer


class FastKMeans(Peer):
    title = "fastkmeans (Triton)"
    use_triton = True
    module = "fastkmeans"
    distribution = "fastkmeans"
    install = "pip install fastkmeans"
    devices = ("cuda",)
    types = ("half", "float")  # of its arithmetic; it is given float
    verbs = ("fit",)
    takes_start = False
    most_flops = 2e13
    start = "points that it draws itself"
    data = "on the host, where its interface takes it"
    synchronises = "each iteration, to compare the shift with the tolerance"
    first_call = "compiles its kernels on a GPU"
    extra_work = "copies the points to the device and the labels to the host in every iteration"
    clock = "host"
    memory = "torch"

    def prepare(self, problem):
        super().prepare(problem)
        self.x = [part.float().cpu().numpy() for part in problem.flat()]
        self.models = []

    def restart(self, verb):
        import torch
        from fastkmeans import FastKMeans
        shape = self.problem.shape
        dtype = torch.float16 if self.problem.type == "half" else torch.float32
        self.models = [FastKMeans(shape.d, shape.k, niter=self.problem.iterations, tol=-1.0,
                                  gpu=self.device == "cuda", dtype=dtype, seed=problem,
                                  max_points_per_centroid=None, use_triton=self.use_triton)
                       for problem in range(shape.problems)]

    def fit(self):
        for model, x in zip(self.models, self.x):
            model.train(x)

    def centroids(self):
        import torch
        return torch.stack([torch.from_numpy(model.centroids) for model in self.models])


class FastKMeansTorch(FastKMeans):
    """Its way without Triton."""

    title = "fastkmeans (PyTorch)"
    use_triton = False
    devices = ("cuda", "cpu")
    first_call = "loads its kernels"

    def type_for(self, shape):
        return "float" if self.device == "cpu" else super().type_for(shape)
