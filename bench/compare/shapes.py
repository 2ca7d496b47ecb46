"""The list of shapes, ../shapes.csv, as the C++ benchmarks read it. Standard library only."""

import dataclasses
import fnmatch
import pathlib

CSV = pathlib.Path(__file__).resolve().parent.parent / "shapes.csv"
FIELDS = ["name", "b", "h", "n", "k", "d", "type", "layout", "bench"]
TYPES = {"half": 2, "bf16": 2, "float": 4, "tf32": 4, "double": 8}  # bytes a value
LAYOUTS = ("bhsd", "nhd")
# assign, fit, init, update: what is measured; baseline: against the plain ways of doing it, in
# C++; peers: part of the comparison unless the caller names shapes.
MARKS = ("assign", "fit", "init", "query", "update", "baseline", "peers")
VERBS = ("assign", "update", "fit")  # what the comparison measures


@dataclasses.dataclass(frozen=True)
class Shape:
    """b x h problems of n points with d features, k clusters."""

    name: str
    b: int
    h: int
    n: int
    k: int
    d: int
    type: str
    layout: str
    marks: tuple

    @property
    def problems(self):
        return self.b * self.h

    @property
    def points(self):
        return self.problems * self.n

    @property
    def point_bytes(self):
        return self.points * self.d * TYPES[self.type]

    @property
    def assign_flops(self):
        return 2.0 * self.points * self.k * self.d

    def verbs(self):
        return [verb for verb in VERBS if verb in self.marks]

    def text(self):
        """As tables show it: 32 x (65536 x 1024), d = 64, float."""
        size = f"{_short(self.n)} x {_short(self.k)}"
        if self.problems > 1:
            size = f"{self.problems} x ({size})"
        extras = [f"d = {self.d}"] if self.d != 128 else []
        extras += [self.type] if self.type != "half" else []
        extras += ["NHD"] if self.layout == "nhd" else []
        return ", ".join([size] + extras)

    def as_dict(self):
        fields = dataclasses.asdict(self)
        del fields["marks"]
        return fields


def from_dict(fields):
    return Shape(marks=(), **fields)


def warm_up(types):
    """A small shape for a peer that takes these types: float, or the first one without it."""
    return Shape("warm_up", 1, 1, 1024, 16, 64, "float" if "float" in types else types[0], "bhsd",
                 ())


def _short(count):
    """1048576 as 1M, 65536 as 64K, other numbers as they are."""
    for unit, letter in ((1 << 20, "M"), (1 << 10, "K")):
        if count >= 16 * (1 << 10) and count % unit == 0:
            return f"{count // unit}{letter}"
    return str(count)


def parse(line, where):
    """One line of the list. Throws ValueError that says where and why."""

    def bad(why):
        return ValueError(f"{where}: {why}: {line}")

    fields = line.split(",")
    if len(fields) != len(FIELDS):
        raise bad("not " + ",".join(FIELDS))
    sizes = []
    for field in fields[1:6]:
        if not (field.isascii() and field.isdigit() and int(field) > 0):
            raise bad(f"'{field}' is no positive integer")
        sizes.append(int(field))
    for field, choices in ((fields[6], TYPES), (fields[7], LAYOUTS)):
        if field not in choices:
            raise bad(f"'{field}' is none of {', '.join(choices)}")
    marks = tuple(fields[8].split("+"))
    for mark in marks:
        if mark not in MARKS:
            raise bad(f"'{mark}' is none of {', '.join(MARKS)}")
    return Shape(fields[0], *sizes, fields[6], fields[7], marks)


def read(path=CSV):
    shapes, header = [], True
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            line = line.rstrip("\n")
            if not line or line.startswith("#"):
                continue
            if header:
                header = False
                continue
            shapes.append(parse(line, f"{path}:{number}"))
    names = [shape.name for shape in shapes]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"{path}: twice: {', '.join(twice)}")
    if not shapes:
        raise ValueError(f"{path}: no shapes")
    return shapes


def choose(shapes, wanted):
    """Those that wanted names: 'peers' (those marked so), 'all', or names and patterns (*, ?)
    separated by commas. Throws ValueError for a pattern that names nothing."""
    chosen = []
    for pattern in wanted.split(","):
        if pattern == "all":
            found = shapes
        elif pattern == "peers":
            found = [shape for shape in shapes if "peers" in shape.marks]
        else:
            found = [shape for shape in shapes if fnmatch.fnmatchcase(shape.name, pattern)]
        if not found:
            raise ValueError(f"no shape is called '{pattern}'")
        chosen += [shape for shape in found if shape not in chosen]
    return chosen
