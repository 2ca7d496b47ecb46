"""k-means as one writes it in PyTorch: the matrix of distances, argmin, index_add. In pieces where
the matrix would not fit."""

from peers.base import Peer

MATRIX_BYTES = {"cuda": 16 << 30, "cpu": 1 << 30}  # three of them are there at a time


class TorchMatrix(Peer):
    title = "PyTorch"
    module = "torch"
    distribution = "torch"
    install = "pip install torch"
    devices = ("cuda", "cpu")
    types = ("half", "bf16", "float", "double")
    verbs = ("assign", "update", "fit")
    batched = True
    synchronises = "never"
    first_call = "loads its kernels"
    extra_work = "none: labels belong to the centroids before the last update; centroids are " \
                 "rounded to the points' type for each assignment"

    def type_for(self, shape):
        if self.device == "cpu" and shape.type in ("half", "bf16"):
            return "float"
        return super().type_for(shape)

    def prepare(self, problem):
        super().prepare(problem)
        self.x = problem.flat()
        self.found, self.now = None, None

    def _assign(self, centroids):
        """Labels of the nearest centroids, by |x|^2 - 2 x.c + |c|^2."""
        import torch
        x, shape = self.x, self.problem.shape
        c = centroids.to(x.dtype)
        # Half products, but norms and distances in float: in half most distances would be equal.
        exact = torch.promote_types(x.dtype, torch.float32)
        c_squares = (c * c).sum(-1, dtype=exact)
        step = max(1, MATRIX_BYTES[self.device] // (exact.itemsize * shape.problems * shape.k))
        labels = []
        for part in x.split(step, dim=1):
            squares = (part * part).sum(-1, dtype=exact)
            matrix = squares[:, :, None] - 2 * (part @ c.transpose(1, 2))
            matrix += c_squares[:, None, :]
            labels.append(matrix.argmin(-1))
        return torch.cat(labels, dim=1)

    def _means(self, labels, before):
        import torch
        shape = self.problem.shape
        offsets = torch.arange(shape.problems, device=labels.device)[:, None] * shape.k
        flat = (labels.long() + offsets).reshape(-1)
        values = self.x.reshape(-1, shape.d)
        dtype = torch.float64 if values.dtype == torch.float64 else torch.float32
        sums = torch.zeros(shape.problems * shape.k, shape.d, dtype=dtype, device=values.device)
        step = max(1, MATRIX_BYTES[self.device] // (sums.element_size() * shape.d))
        for begin in range(0, len(flat), step):
            sums.index_add_(0, flat[begin:begin + step], values[begin:begin + step].to(dtype))
        counts = torch.bincount(flat, minlength=len(sums))[:, None]
        means = (sums / counts.clamp_min(1)).view(shape.problems, shape.k, shape.d)
        return torch.where((counts > 0).view(shape.problems, shape.k, 1), means, before)

    def assign(self):
        self.found = self._assign(self.problem.start)

    def update(self):
        self.now = self._means(self.problem.labels, self.problem.start)

    def fit(self):
        self.now = self.problem.start
        for _ in range(self.problem.iterations):
            self.found = self._assign(self.now)
            self.now = self._means(self.found, self.now)

    def labels(self):
        return self.found

    def centroids(self):
        return self.now
