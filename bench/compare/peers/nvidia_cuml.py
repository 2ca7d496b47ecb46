"""NVIDIA cuML."""

from peers.base import Peer

TOLERANCE = 1e-30  # 0 is refused


class CuMl(Peer):
    title = "cuML"
    module = "cuml.cluster"
    install = "pip install 'cuml-cu13==26.6.*'"
    types = ("float", "double")
    verbs = ("fit",)
    most_flops = 2e14
    synchronises = "each iteration"
    first_call = "loads its kernels"
    extra_work = "one more assignment, since labels and inertia belong to the returned centroids"
    clock = "host"
    memory = "device"

    def version(self):
        import cuml
        return cuml.__version__

    def prepare(self, problem):
        import cupy
        super().prepare(problem)
        self.x = [cupy.from_dlpack(part) for part in problem.flat()]
        self.starts = [cupy.from_dlpack(part) for part in problem.start]
        self.models = []

    def restart(self, verb):
        from cuml.cluster import KMeans
        self.models = [KMeans(n_clusters=self.problem.shape.k, init=start, n_init=1, tol=TOLERANCE,
                              max_iter=self.problem.iterations, output_type="cupy")
                       for start in self.starts]

    def fit(self):
        for model, x in zip(self.models, self.x):
            model.fit(x)

    def labels(self):
        import torch
        return torch.stack([torch.from_dlpack(model.labels_) for model in self.models])

    def centroids(self):
        import torch
        return torch.stack([torch.from_dlpack(model.cluster_centers_) for model in self.models])

    def iterations(self):
        return sum(int(model.n_iter_) for model in self.models) / len(self.models)
