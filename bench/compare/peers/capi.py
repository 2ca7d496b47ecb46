"""ctypes binding of c/flash_kmeans_c.h. Standard library only."""

import ctypes
import os
import pathlib

CPU, GPU = 0, 1
TYPES = {"half": 0, "bf16": 1, "float": 2, "tf32": 2, "double": 3}
PREDICT, UPDATE, FIT = 0, 1, 2
NAMES = ("libflash_kmeans_c.so", "libflash_kmeans_c_cpu.so")


class Matrix(ctypes.Structure):
    """flash_kmeans_c_matrix; strides in elements."""

    _fields_ = [("data", ctypes.c_void_p), ("rows", ctypes.c_int64), ("cols", ctypes.c_int64),
                ("ld", ctypes.c_int64), ("batch", ctypes.c_int64 * 2),
                ("batch_stride", ctypes.c_int64 * 2)]


class Call(ctypes.Structure):
    """flash_kmeans_c_call."""

    _fields_ = [("device", ctypes.c_int32), ("type", ctypes.c_int32), ("tf32", ctypes.c_int32),
                ("threads", ctypes.c_int32), ("stream", ctypes.c_void_p),
                ("workspace", ctypes.c_void_p), ("workspace_bytes", ctypes.c_size_t)]


class FitOptions(ctypes.Structure):
    """flash_kmeans_c_fit_options."""

    _fields_ = [("max_iterations", ctypes.c_int32), ("closing_assignment", ctypes.c_int32),
                ("tolerance", ctypes.c_double), ("status", ctypes.c_void_p)]


STATUS_WORDS = 8  # int32 values of a flash_kmeans::fit_status
STATUS_ITERATIONS = 4  # which of them the number of iterations is


def matrix(data, b, h, rows, cols, layout="bhsd"):
    """A contiguous [b][h][rows][cols] (bhsd) or [b][rows][h][cols] (nhd) tensor at an address."""
    if layout == "nhd":
        ld, strides = h * cols, (rows * h * cols, cols)
    else:
        ld, strides = cols, (h * rows * cols, rows * cols)
    return Matrix(data, rows, cols, ld, (ctypes.c_int64 * 2)(b, h), (ctypes.c_int64 * 2)(*strides))


class Library:
    """The shared library; every function throws RuntimeError with the library's own words."""

    def __init__(self, path):
        self.path = str(path)
        self._c = ctypes.CDLL(self.path)
        pointer, integer = ctypes.c_void_p, ctypes.c_int32
        for name, arguments in {
            "predict": [pointer] * 4,
            "update": [pointer] * 4,
            "fit": [pointer] * 5,
            "plan_create": [pointer] * 6,
            "plan_fit": [pointer] * 2,
            "plan_destroy": [pointer],
            "workspace_bytes": [pointer, integer] + [pointer] * 4,
        }.items():
            getattr(self._c, f"flash_kmeans_c_{name}").argtypes = arguments
        self._c.flash_kmeans_c_plan_destroy.restype = None
        for name in ("message", "version"):
            getattr(self._c, f"flash_kmeans_c_{name}").restype = ctypes.c_char_p

    def version(self):
        return self._c.flash_kmeans_c_version().decode()

    def has_gpu(self):
        return bool(self._c.flash_kmeans_c_has_gpu())

    def _run(self, name, *arguments):
        if getattr(self._c, f"flash_kmeans_c_{name}")(*arguments) != 0:
            raise RuntimeError(self._c.flash_kmeans_c_message().decode())

    def predict(self, call, x, c, labels):
        self._run("predict", ctypes.byref(call), ctypes.byref(x), ctypes.byref(c), labels)

    def update(self, call, x, labels, c):
        self._run("update", ctypes.byref(call), ctypes.byref(x), labels, ctypes.byref(c))

    def fit(self, call, x, c, labels, options):
        self._run("fit", ctypes.byref(call), ctypes.byref(x), ctypes.byref(c), labels,
                  ctypes.byref(options))

    def workspace_bytes(self, call, verb, x, c, options=None):
        found = ctypes.c_size_t()
        self._run("workspace_bytes", ctypes.byref(call), verb, ctypes.byref(x), ctypes.byref(c),
                  ctypes.byref(options) if options else None, ctypes.byref(found))
        return found.value

    def plan(self, call, x, c, labels, options):
        """A handle for plan_fit and plan_destroy."""
        made = ctypes.c_void_p()
        self._run("plan_create", ctypes.byref(call), ctypes.byref(x), ctypes.byref(c), labels,
                  ctypes.byref(options), ctypes.byref(made))
        return made

    def plan_fit(self, plan, stream):
        self._run("plan_fit", plan, stream)

    def plan_destroy(self, plan):
        self._c.flash_kmeans_c_plan_destroy(plan)


def find():
    """The library that FLASH_KMEANS_C names, else the newest one in a build folder of this tree,
    one with a GPU part if there is any; None where there is none."""
    named = os.environ.get("FLASH_KMEANS_C")
    if named:
        return pathlib.Path(named)
    root = pathlib.Path(__file__).resolve().parents[3]
    for name in NAMES:
        found = [path for pattern in ("build*", "build*/*")
                 for path in root.glob(f"{pattern}/bench/compare/c/{name}")]
        if found:
            return max(found, key=lambda path: path.stat().st_mtime)
    return None
