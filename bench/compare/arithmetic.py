"""Medians, noise and ratios. Standard library only."""

import math


def quantile(values, share):
    """Linear between the sorted values; share 0.5 is the median."""
    ordered = sorted(values)
    if not ordered:
        raise ValueError("no values")
    position = share * (len(ordered) - 1)
    below = math.floor(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (position - below) * (ordered[above] - ordered[below])


def summary(times_ms):
    """What a row keeps of its runs, in milliseconds."""
    return {
        "ms": quantile(times_ms, 0.5),
        "ms_min": min(times_ms),
        "ms_q1": quantile(times_ms, 0.25),
        "ms_q3": quantile(times_ms, 0.75),
        "ms_max": max(times_ms),
        "runs": len(times_ms),
    }


FEWEST_RUNS, MOST_RUNS = 5, 200
LONGEST_SECONDS = 10  # of a row, if that is two runs


def runs_for(estimate_ms, seconds):
    """How many runs fill so many seconds: 5 to 200, but no more than LONGEST_SECONDS of them, and
    always two."""
    estimate_ms = max(estimate_ms, 1e-3)
    fewest = min(FEWEST_RUNS, max(2, LONGEST_SECONDS * 1e3 // estimate_ms))
    return int(min(max(seconds * 1e3 / estimate_ms, fewest), MOST_RUNS))


def times_faster(ours_ms, theirs_ms):
    """How many times as long theirs takes; None where either is unknown."""
    if not ours_ms or not theirs_ms:
        return None
    return theirs_ms / ours_ms


def geometric_mean(values):
    if not values:
        raise ValueError("no values")
    return math.exp(sum(math.log(value) for value in values) / len(values))


def three_digits(value):
    """1234.5 as 1234, 12.345 as 12.3, 0.0012345 as 0.00123."""
    if value == 0:
        return "0"
    digits = 2 - math.floor(math.log10(abs(value)))
    rounded = round(value, digits)
    return f"{rounded:.{max(digits, 0)}f}"


def agreement(ours, theirs):
    """Share of equal entries of two lists of labels of one length."""
    if len(ours) != len(theirs) or not ours:
        raise ValueError(f"{len(ours)} and {len(theirs)} labels")
    return sum(a == b for a, b in zip(ours, theirs)) / len(ours)


def relative_difference(value, reference):
    """Signed; 0 where both are 0."""
    if value == reference:
        return 0.0
    if reference == 0:
        return math.inf
    return (value - reference) / abs(reference)
