"""scikit-learn, on the CPU whatever the others run on."""

from peers.base import Peer


class ScikitLearn(Peer):
    title = "scikit-learn (CPU)"
    module = "sklearn.cluster"
    distribution = "scikit-learn"
    install = "pip install scikit-learn"
    devices = ("cuda", "cpu")
    types = ("float", "double")
    verbs = ("fit",)
    data = "on the host"
    synchronises = "runs on the CPU"
    first_call = "none"
    extra_work = "centres the points; one more assignment, since labels belong to the returned " \
                 "centroids"
    clock = "host"
    memory = "process"
    most_flops = 5e11

    def prepare(self, problem):
        super().prepare(problem)
        self.x = [part.cpu().numpy() for part in problem.flat()]
        self.starts = [part.cpu().numpy() for part in problem.start]
        self.models = []

    def restart(self, verb):
        from sklearn.cluster import KMeans
        self.models = [KMeans(self.problem.shape.k, init=start, n_init=1, tol=0, algorithm="lloyd",
                              max_iter=self.problem.iterations)
                       for start in self.starts]

    def fit(self):
        import warnings
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it has not converged is what was asked for
            for model, x in zip(self.models, self.x):
                model.fit(x)

    def labels(self):
        import torch
        return torch.stack([torch.from_numpy(model.labels_) for model in self.models])

    def centroids(self):
        import torch
        return torch.stack([torch.from_numpy(model.cluster_centers_) for model in self.models])

    def iterations(self):
        return sum(model.n_iter_ for model in self.models) / len(self.models)
