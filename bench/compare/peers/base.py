"""What every peer tells about itself and does. Standard library only."""

import importlib
import importlib.metadata

# Types of points that are given to a peer which lacks the shape's own.
STAND_IN = {"half": "float", "bf16": "float", "tf32": "float", "double": "float"}


NO_GPU = "there is no GPU"


class Peer:
    """A library that is compared. Facts are class attributes and end up in the JSON and in the
    report; work is in prepare() and one function a verb."""

    title = ""
    module = ""  # imported to find out whether it is there
    distribution = ""  # whose version is recorded
    install = ""  # the line that installs it
    devices = ("cuda",)
    types = ("half", "bf16", "float")  # of points; others are given as STAND_IN
    fewer_bits = {}  # type of points -> what it multiplies them as, where that has fewer bits
    verbs = ("fit",)  # what its public interface has
    batched = False  # many problems in one call; else they are called one by one
    strided = False  # takes NHD tensors as they lie; else it gets a contiguous copy
    takes_start = True  # begins from given centroids
    start = ""  # where it begins otherwise
    data = "on the device"  # where its points are when the timer starts
    synchronises = ""  # how often it waits for the device in a fit
    first_call = ""  # what its first call does besides the work
    extra_work = ""  # what a fit does besides the iterations
    clock = "events"  # "events": CUDA events on torch's stream; "host": host clock, device idle
    memory = "torch"  # "torch": its allocator's peak; "device": used memory, read every millisecond
    most_problems = 64  # called one by one
    most_flops = float("inf")  # a row beyond it would take too long
    fewest_features = 1

    def __init__(self, name, device):
        self.name = name
        self.device = device  # "cuda" or "cpu"

    # ---- Facts ----

    def why_missing(self):
        """None where it can run on its device, else why not."""
        try:
            importlib.import_module(self.module)
        except Exception as error:  # a broken installation fails in any way it likes
            return f"cannot import {self.module}: {type(error).__name__}: {error}"
        return None

    def version(self):
        try:
            return importlib.metadata.version(self.distribution)
        except importlib.metadata.PackageNotFoundError:
            return "unknown"

    def type_for(self, shape):
        """The type of points that it gets for this shape."""
        return shape.type if shape.type in self.types else STAND_IN[shape.type]

    def refuses(self, verb, shape, iterations):
        """None where it takes the row, else the reason that is reported."""
        if verb not in self.verbs:
            return f"has no {verb} of its own in its interface"
        if not self.batched and shape.problems > self.most_problems:
            return f"has no batches, and {shape.problems} problems one by one take too long"
        if shape.assign_flops * (iterations if verb == "fit" else 1) > self.most_flops:
            return f"would take too long (more than {self.most_flops:.0e} operations)"
        if shape.d < self.fewest_features:
            return f"takes no fewer than {self.fewest_features} features"
        return None

    def facts(self):
        return {
            "name": self.name,
            "title": self.title,
            "install": self.install,
            "devices": list(self.devices),
            "types": list(self.types),
            "fewer_bits": dict(self.fewer_bits),
            "verbs": list(self.verbs),
            "batched": self.batched,
            "strided": self.strided,
            "takes_start": self.takes_start,
            "start": "the given centroids" if self.takes_start else self.start,
            "data": self.data,
            "synchronises": self.synchronises,
            "first_call": self.first_call,
            "extra_work": self.extra_work,
            "clock": "host" if self.device == "cpu" else self.clock,
            "memory": "process" if self.device == "cpu" else self.memory,
        }

    # ---- Work ----

    def prepare(self, problem):
        """Keeps the points as the peer wants them; nothing of this is timed."""
        self.problem = problem

    def restart(self, verb):
        """Before every run, outside the timer."""

    def assign(self):
        """Labels of problem.start's nearest centroids."""
        raise NotImplementedError

    def update(self):
        """Means of the points under problem.labels."""
        raise NotImplementedError

    def fit(self):
        """problem.iterations iterations from problem.start, no tolerance."""
        raise NotImplementedError

    # What the last run left, None where the peer does not say.

    def labels(self):
        """torch [problems][n]"""
        return None

    def centroids(self):
        """torch [problems][k][d]"""
        return None

    def iterations(self):
        """That the last fit took, the mean over the problems."""
        return self.problem.iterations

    def notes(self):
        """What is to be known about the last run."""
        return None

    def release(self):
        """Lets go of everything that belongs to a row."""
        kept = {"name", "device"}
        for attribute in [name for name in vars(self) if name not in kept]:
            delattr(self, attribute)
