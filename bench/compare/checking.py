"""Whether a peer computed what it was asked to, in float64; tolerances are verdict.py's.

assign: the sum of the distances of a sample of points to the centroids that they were given,
        against the least possible one.
update: every coordinate against the mean of its points.
fit:    the inertia of the sample under the centroids that came out, against ours (compared where
        both are known), and labels against ours.
"""

import torch

from data import by_problem
from verdict import judge

SAMPLE = 1 << 16  # points a row, evenly spread, fewer where k x sample would be too much
PROBLEMS = 64  # that they are from, and whose means are checked
COMPARED_LABELS = 1 << 12
CHUNK_VALUES = 1 << 26  # of float64 at a time


def spread(count, most):
    """At most so many of the numbers below count, evenly spread, the last one among them."""
    step = -(-count // most)
    chosen = torch.arange(0, count, step)
    chosen[-1] = count - 1
    return chosen


def sample(shape):
    """Numbers of points, counted over all problems."""
    problems = spread(shape.problems, PROBLEMS)
    most = min(SAMPLE, max(1024, (1 << 31) // shape.k)) // len(problems)
    points = spread(shape.n, max(1, most))
    return (problems[:, None] * shape.n + points).reshape(-1)


def distances(row, chosen, centroids, labels=None):
    """(sum of the sample's squared distances to the nearest centroid, the same to the centroids of
    labels or None), in float64."""
    shape, view = row.shape, by_problem(row.points, row.shape)
    nearest_sum, own_sum = 0.0, 0.0
    step = max(1, CHUNK_VALUES // (shape.k + shape.d))
    problem_of = chosen // shape.n
    for problem in problem_of.unique().tolist():
        rows = (chosen[problem_of == problem] % shape.n).to(row.points.device)
        c = centroids[problem].double()
        squares = (c * c).sum(1)
        for begin in range(0, len(rows), step):
            some = rows[begin:begin + step]
            x = view[problem // shape.h, problem % shape.h][some].double()
            d = (x * x).sum(1)[:, None] - 2 * x @ c.T + squares
            nearest_sum += d.min(1).values.clamp_min(0).sum().item()
            if labels is not None:
                own = d.gather(1, labels[problem][some].long()[:, None])
                own_sum += own.clamp_min(0).sum().item()
    return nearest_sum, own_sum if labels is not None else None


def means_error(row, centroids):
    """Largest error of a coordinate of a centroid that has points."""
    shape, view = row.shape, by_problem(row.points, row.shape)
    worst = 0.0
    step = max(1, CHUNK_VALUES // shape.d)
    for problem in spread(shape.problems, PROBLEMS).tolist():
        points = view[problem // shape.h, problem % shape.h]
        labels = row.labels[problem].long()
        sums = torch.zeros(shape.k, shape.d, dtype=torch.float64, device=points.device)
        for begin in range(0, shape.n, step):
            sums.index_add_(0, labels[begin:begin + step], points[begin:begin + step].double())
        counts = torch.bincount(labels, minlength=shape.k)
        has = counts > 0
        error = (centroids[problem].double() - sums / counts[:, None]).abs()[has]
        worst = max(worst, error.max().item()) if torch.isfinite(error).all() else float("inf")
    return worst


def examine(verb, row, given_type, labels, centroids):
    """(what was found, for the JSON; labels of the sample to compare with ours, or None). The key
    "wrong" says what is wrong, where something is."""
    shape = row.shape
    if labels is not None:
        labels = labels.reshape(shape.problems, shape.n).to(row.points.device)
        if not ((labels >= 0) & (labels < shape.k)).all():
            return {"wrong": "labels outside [0, k)"}, None
    if centroids is not None:
        centroids = centroids.reshape(shape.problems, shape.k, shape.d).to(row.points.device)
    if verb == "update":
        return judge({"error_of_means": means_error(row, centroids)}, given_type), None
    chosen = sample(shape)
    if verb == "assign":
        best, own = distances(row, chosen, row.start, labels)
        check = {"excess": own / best - 1 if best > 0 else own}
    elif torch.isfinite(centroids).all():
        check = {"inertia": distances(row, chosen, centroids)[0]}
    else:
        return {"wrong": "centroids that are not finite"}, None
    check["sampled_points"] = len(chosen)
    if labels is not None:
        step = max(1, len(chosen) // COMPARED_LABELS)
        labels = labels.reshape(-1)[chosen[::step].to(labels.device)].tolist()
    return judge(check, given_type), labels
