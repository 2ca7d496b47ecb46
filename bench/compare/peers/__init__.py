"""The libraries that are compared, ours first. Standard library only: a library itself is imported
where it is used."""

import importlib

# name -> module beside this file and class in it
NAMES = {
    "flash_kmeans": ("ours", "FlashKMeans"),
    "flash_kmeans-plan": ("ours", "FlashKMeansPlan"),
    "triton-flash-kmeans": ("triton_flash_kmeans", "TritonFlashKMeans"),
    "flashlib-triton": ("flash_lib", "FlashLibTriton"),
    "flashlib-cutedsl": ("flash_lib", "FlashLibCuteDsl"),
    "cuml": ("nvidia_cuml", "CuMl"),
    "cuvs": ("nvidia_cuvs", "CuVs"),
    "faiss": ("faiss_kmeans", "FaissKMeans"),
    "faiss-torch": ("faiss_kmeans", "FaissTorch"),
    "fastkmeans": ("fast_kmeans", "FastKMeans"),
    "fastkmeans-torch": ("fast_kmeans", "FastKMeansTorch"),
    "torch": ("torch_matrix", "TorchMatrix"),
    "scikit-learn": ("scikit_learn", "ScikitLearn"),
}
OURS = "flash_kmeans"


def make(name, device):
    module, cls = NAMES[name]
    return getattr(importlib.import_module(f"peers.{module}"), cls)(name, device)


def choose(wanted):
    """Names of 'all', or of a list separated by commas; ours is always among them, since everything
    is compared with it. Throws ValueError for a name that is none."""
    names = list(NAMES) if wanted == "all" else wanted.split(",")
    for name in names:
        if name not in NAMES:
            raise ValueError(f"no peer is called '{name}'; there are {', '.join(NAMES)}")
    return [name for name in NAMES if name in names or name == OURS]
