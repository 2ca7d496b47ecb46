"""What the project set out to reach against others, and whether a result reaches it. Standard
library only."""

import dataclasses

import peers


@dataclasses.dataclass(frozen=True)
class Target:
    """At least `times` as fast as the fastest of some peers, on one shape or on all of them."""

    words: str
    verb: str
    others: tuple  # names; () for everybody else
    counts: object  # shape -> whether it counts
    everywhere: bool  # on every shape that counts, else on one
    times: float


def is_base(shape):
    return shape.d == 128 and shape.type == "half"


TARGETS = (
    Target("cuML, an iteration, d = 128, half, at its best", "fit", ("cuml",), is_base, False, 66),
    Target("FAISS, an iteration, d = 128, half, at its best", "fit", ("faiss", "faiss-torch"),
           is_base, False, 400),
    Target("the fastest other, an iteration, on every batched shape", "fit", (),
           lambda shape: shape.problems > 1, True, 2),
    Target("the fastest other, an assignment, on every shape", "assign", (), lambda shape: True,
           True, 1.15),
)


def ratios(target, table):
    """(ratio to the fastest of the others, shape) of every shape that counts and has one. Of others
    that are named, all that were measured anywhere have to be there: a shape without the fastest of
    them would tell nothing."""
    names = target.others or [name for name in peers.NAMES if not name.startswith(peers.OURS)]
    times = {(shape, name): table.ratio(shape, name) for shape in table.shapes for name in names}
    measured = [name for name in names
                if any(times[shape, name] is not None for shape in table.shapes)]
    found = []
    for shape in table.shapes:
        known = [times[shape, name] for name in measured if times[shape, name] is not None]
        complete = len(known) == len(measured) or not target.others
        if target.counts(shape) and known and complete:
            found.append((min(known), shape))
    return found


def judge(target, table):
    """(the ratio that decides, its shape, whether it is enough); None where none was measured."""
    found = ratios(target, table)
    if not found:
        return None
    choose = min if target.everywhere else max
    ratio, shape = choose(found, key=lambda pair: pair[0])
    return ratio, shape, ratio >= target.times
