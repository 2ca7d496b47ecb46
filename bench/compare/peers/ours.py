"""flash_kmeans itself, through the C library of c/: raw pointers, torch's stream."""

from peers import capi
from peers.base import Peer


class FlashKMeans(Peer):
    title = "flash_kmeans"
    install = "cmake -S . -B build && cmake --build build --target flash_kmeans_c"
    devices = ("cuda", "cpu")
    types = ("half", "bf16", "float", "tf32", "double")
    verbs = ("assign", "update", "fit")
    batched = True
    strided = True
    synchronises = "never"
    first_call = "loads its kernels"
    extra_work = "none: labels belong to the centroids before the last update"

    def why_missing(self):
        path = capi.find()
        if path is None:
            return "libflash_kmeans_c.so is in no build folder of this tree (or set FLASH_KMEANS_C)"
        try:
            library = capi.Library(path)
        except OSError as error:
            return f"cannot load it: {error}"
        if self.device == "cuda" and not library.has_gpu():
            return f"{path.name} was built without CUDA"
        return None

    def version(self):
        return capi.Library(capi.find()).version()

    def type_for(self, shape):
        if self.device == "cpu" and shape.type not in ("float", "double"):
            return "float"
        return shape.type

    def prepare(self, problem):
        import torch
        super().prepare(problem)
        self.library = capi.Library(capi.find())
        x, shape = problem.points, problem.shape
        self.now = problem.start.clone()
        self.found = torch.full((shape.problems, shape.n), -1, dtype=torch.int32, device=x.device)
        self.status = torch.zeros(shape.problems, capi.STATUS_WORDS, dtype=torch.int32,
                                  device=x.device)
        self.options = capi.FitOptions(problem.iterations, 0, 0.0, self.status.data_ptr())
        self.x = capi.matrix(x.data_ptr(), shape.b, shape.h, shape.n, shape.d, shape.layout)
        self.c = capi.matrix(self.now.data_ptr(), shape.b, shape.h, shape.k, shape.d)
        on_gpu = x.is_cuda
        self.call = capi.Call(capi.GPU if on_gpu else capi.CPU, capi.TYPES[problem.type],
                              int(problem.type == "tf32"), 0,
                              torch.cuda.current_stream().cuda_stream if on_gpu else None, None, 0)
        if on_gpu:
            verb = {"assign": capi.PREDICT, "update": capi.UPDATE, "fit": capi.FIT}[problem.verb]
            needed = self.library.workspace_bytes(self.call, verb, self.x, self.c, self.options)
            self.workspace = torch.empty(max(needed, 1), dtype=torch.uint8, device=x.device)
            self.call.workspace = self.workspace.data_ptr()
            self.call.workspace_bytes = needed

    def restart(self, verb):
        if verb != "assign":
            self.now.copy_(self.problem.start)

    def assign(self):
        self.library.predict(self.call, self.x, self.c, self.found.data_ptr())

    def update(self):
        self.library.update(self.call, self.x, self.problem.labels.data_ptr(), self.c)

    def fit(self):
        self.library.fit(self.call, self.x, self.c, self.found.data_ptr(), self.options)

    def labels(self):
        return self.found

    def centroids(self):
        return self.now

    def iterations(self):
        # A problem whose centroids no longer move is left alone.
        return self.status[:, capi.STATUS_ITERATIONS].double().mean().item()


class FlashKMeansPlan(FlashKMeans):
    title = "flash_kmeans, fit_plan"
    devices = ("cuda",)
    verbs = ("fit",)
    first_call = "builds its graph"

    def prepare(self, problem):
        super().prepare(problem)
        self.plan = self.library.plan(self.call, self.x, self.c, self.found.data_ptr(),
                                      self.options)

    def fit(self):
        self.library.plan_fit(self.plan, self.call.stream)

    def release(self):
        if "plan" in vars(self):
            self.library.plan_destroy(self.plan)
        super().release()
