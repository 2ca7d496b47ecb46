"""NVIDIA cuVS, which cuML's k-means calls too."""

from peers.base import Peer

TOLERANCE = 1e-30  # 0 is refused


class CuVs(Peer):
    title = "cuVS"
    module = "cuvs.cluster.kmeans"
    install = "pip install 'cuvs-cu13==26.6.*'"
    types = ("float", "double")
    verbs = ("assign", "fit")
    most_flops = 2e14
    synchronises = "each iteration"
    first_call = "loads its kernels"
    extra_work = "an assignment also computes the inertia"
    clock = "host"
    memory = "device"

    def version(self):
        import cuvs
        return cuvs.__version__

    def prepare(self, problem):
        from cuvs.cluster.kmeans import KMeansParams
        super().prepare(problem)
        self.x = list(problem.flat())
        self.now = problem.start.clone()
        self.parameters = KMeansParams(n_clusters=problem.shape.k, init_method="Array", n_init=1,
                                       max_iter=problem.iterations, tol=TOLERANCE)
        self.found, self.done = None, 0

    def restart(self, verb):
        self.now.copy_(self.problem.start)

    def assign(self):
        from cuvs.cluster.kmeans import predict
        self.found = [predict(self.parameters, x, c)[0] for x, c in zip(self.x, self.now)]

    def fit(self):
        from cuvs.cluster.kmeans import fit
        # Centroids, inertia and iterations.
        done = [int(fit(self.parameters, x, centroids=c)[2]) for x, c in zip(self.x, self.now)]
        self.done = sum(done) / len(done)

    def labels(self):
        import torch
        if self.found is None:
            return None
        return torch.stack([torch.as_tensor(labels, device="cuda") for labels in self.found])

    def centroids(self):
        return self.now

    def iterations(self):
        return self.done
