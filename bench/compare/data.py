"""Points, first centroids and labels of a row: pure functions of the shape and a seed, so that
every peer's process makes the same ones."""

import dataclasses
import random

import torch

DTYPES = {"half": torch.float16, "bf16": torch.bfloat16, "float": torch.float32,
          "tf32": torch.float32, "double": torch.float64}
CHUNK_BYTES = 1 << 30  # of what is computed here at a time


@dataclasses.dataclass
class Problem:
    """What a peer gets for a row."""

    shape: object
    verb: str
    type: str  # of the points that it gets
    iterations: int
    points: object  # [b][h][n][d], or [b][n][h][d] of an NHD shape
    start: object  # [problems][k][d], float32, or float64 for double points
    labels: object  # [problems][n] int32 for an update, else None

    def flat(self):
        """The points as [problems][n][d], a copy where they do not lie so."""
        return by_problem(self.points, self.shape).reshape(self.shape.problems, self.shape.n, -1)

    def start_as_points(self):
        """The first centroids in the points' type."""
        return self.start.to(self.points.dtype)


def by_problem(points, shape):
    """A view [b][h][n][d] of either layout."""
    return points.permute(0, 2, 1, 3) if shape.layout == "nhd" else points


def draw_points(shape, seed, device):
    """Standard normal values in the shape's type."""
    generator = torch.Generator(device=device).manual_seed(seed)
    sizes = (shape.b, shape.n, shape.h) if shape.layout == "nhd" else (shape.b, shape.h, shape.n)
    return torch.randn(*sizes, shape.d, dtype=DTYPES[shape.type], device=device,
                       generator=generator)


def draw_rows(shape, seed):
    """Which points of each problem are the first centroids: k of n without replacement, one list a
    problem."""
    return [random.Random(f"{seed} {problem}").sample(range(shape.n), shape.k)
            for problem in range(shape.problems)]


def first_centroids(points, shape, seed):
    rows = torch.tensor(draw_rows(shape, seed), device=points.device).view(shape.b, shape.h, -1)
    found = torch.gather(by_problem(points, shape), 2,
                         rows[..., None].expand(-1, -1, -1, shape.d))
    dtype = torch.float64 if shape.type == "double" else torch.float32
    return found.reshape(shape.problems, shape.k, shape.d).to(dtype).contiguous()


def nearest(points, shape, start):
    """Labels [problems][n] int32 of the nearest centroids by products in float32 (float64), in
    pieces. An update is timed under these; nobody's labels are checked against them."""
    view = by_problem(points, shape)
    labels = torch.empty(shape.problems, shape.n, dtype=torch.int32, device=points.device)
    step = max(1, CHUNK_BYTES // (4 * (shape.k + shape.d)))
    for problem in range(shape.problems):
        rows = view[problem // shape.h, problem % shape.h]
        centroids = start[problem]
        bias = 0.5 * (centroids * centroids).sum(1)
        for begin in range(0, shape.n, step):
            scores = rows[begin:begin + step].to(start.dtype) @ centroids.T - bias
            labels[problem, begin:begin + step] = scores.argmax(1)
    return labels


def make(shape, verb, iterations, seed, device):
    """The row in the shape's own type."""
    points = draw_points(shape, seed, device)
    start = first_centroids(points, shape, seed)
    labels = nearest(points, shape, start) if verb == "update" else None
    return Problem(shape, verb, shape.type, iterations, points, start, labels)


def for_peer(row, peer):
    """The row as a peer gets it: points converted where it lacks their type."""
    given = peer.type_for(row.shape)
    start = row.start.double() if given == "double" else row.start.float()
    return dataclasses.replace(row, type=given, points=row.points.to(DTYPES[given]), start=start)
