"""The Triton flash-kmeans (svg-project)."""

from peers.base import Peer


class TritonFlashKMeans(Peer):
    title = "Flash-KMeans (Triton)"
    module = "flash_kmeans"
    distribution = "flash-kmeans"
    install = "pip install flash-kmeans"
    fewer_bits = {"float": "TF32"}
    verbs = ("assign", "update", "fit")
    batched = True
    synchronises = "each iteration, to compare the shift with the tolerance"
    first_call = "compiles a kernel for every n, k, d and type"
    extra_work = "norms of the points once a fit; labels belong to the centroids before the last " \
                 "update; centroids are rounded to the points' type after every update"

    def prepare(self, problem):
        import torch
        super().prepare(problem)
        self.x = problem.flat()
        self.start_now = problem.start_as_points()
        if problem.verb == "assign":  # a fit computes them once, before its iterations
            self.norms = torch.cat([(part.float() ** 2).sum(-1)
                                    for part in self.x.split(1 << 20, dim=1)], dim=1)
        self.given_labels = problem.labels
        self.found, self.now = None, None

    def assign(self):
        from flash_kmeans.assign_euclid_triton import euclid_assign_triton
        self.found = euclid_assign_triton(self.x, self.start_now, self.norms)

    def update(self):
        from flash_kmeans import triton_centroid_update_sorted_euclid
        self.now = triton_centroid_update_sorted_euclid(self.x, self.given_labels, self.start_now)

    def fit(self):
        from flash_kmeans import batch_kmeans_Euclid
        self.found, self.now, self.done = batch_kmeans_Euclid(
            self.x, self.problem.shape.k, max_iters=self.problem.iterations, tol=0.0,
            init_centroids=self.start_now)

    def labels(self):
        return self.found

    def centroids(self):
        return self.now

    def iterations(self):
        return self.done
