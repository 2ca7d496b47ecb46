"""FlashLib (FlashML-org), its Triton and its CuTe-DSL way."""

from peers.base import Peer


class FlashLibTriton(Peer):
    title = "FlashLib (Triton)"
    module = "flashlib.primitives.kmeans"
    distribution = "flashlib"
    install = "pip install flashlib"
    fewer_bits = {"float": "TF32"}
    verbs = ("assign", "update", "fit")
    batched = True
    synchronises = "never without a tolerance"
    first_call = "compiles a kernel for every n, k, d and type"
    extra_work = "labels belong to the centroids before the last update; centroids are rounded " \
                 "to the points' type after every update"
    backend = "triton"

    def prepare(self, problem):
        super().prepare(problem)
        self.x = problem.flat()
        self.start_kept = problem.start_as_points()
        # A fit overwrites the centroids that it is given.
        self.start_now = self.start_kept.clone()
        self.found, self.now = None, None

    def restart(self, verb):
        if verb == "fit":
            self.start_now.copy_(self.start_kept)

    def assign(self):
        from flashlib.primitives.kmeans import euclid_assign_triton
        self.found = euclid_assign_triton(self.x, self.start_now)

    def update(self):
        from flashlib.primitives.kmeans import triton_lloyd_centroid_step_euclid
        self.now, _, _ = triton_lloyd_centroid_step_euclid(self.x, self.problem.labels,
                                                           self.start_now)

    def fit(self):
        from flashlib.primitives.kmeans import flash_kmeans
        self.found, self.now, self.done = flash_kmeans(
            self.x, self.problem.shape.k, max_iters=self.problem.iterations, tol=0.0,
            init_centroids=self.start_now, backend=self.backend)

    def labels(self):
        return self.found

    def centroids(self):
        return self.now

    def iterations(self):
        return self.done


class FlashLibCuteDsl(FlashLibTriton):
    title = "FlashLib (CuTe-DSL)"
    install = "pip install 'flashlib[cutedsl]'"
    types = ("half", "bf16")
    fewer_bits = {}
    verbs = ("assign", "fit")  # the update is FlashLib's Triton one
    batched = False
    first_call = "compiles and measures up to 12 kernels for every n, k, d and type"
    backend = "cutedsl"

    def why_missing(self):
        why = super().why_missing()
        if why:
            return why
        try:
            from flashlib.primitives.kmeans.cutedsl import cutedsl_info
        except Exception as error:  # CUTLASS is missing or of another version
            return f"{type(error).__name__}: {error}"
        info = cutedsl_info()
        return info if "UNAVAILABLE" in info else None

    def refuses(self, verb, shape, iterations):
        why = super().refuses(verb, shape, iterations)
        if why:
            return why
        if shape.problems > 1:
            return "its CuTe-DSL kernel takes one problem at a time; FlashLib (Triton) has batches"
        if shape.type not in self.types:
            return "its CuTe-DSL kernel takes half and bfloat16"
        if shape.d % 16 or shape.d > 512 or (shape.d <= 16 and shape.k <= 16):
            return "its CuTe-DSL kernel takes multiples of 16 up to 512 features"
        return None

    def assign(self):
        from flashlib.primitives.kmeans import cutedsl_assign_euclid
        self.found = cutedsl_assign_euclid(self.x, self.start_now)

    def notes(self):
        # Whatever goes wrong in its kernel makes it fall back to Triton without a word.
        from flashlib.primitives.kmeans.cutedsl import _kernel_cache
        shape = tuple(self.x.shape[1:])
        return None if any(shape in key for key in _kernel_cache) else "fell back to Triton"
