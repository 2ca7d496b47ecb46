"""Times a piece of work: the first call apart, then the median of many, and the most memory that it
took."""

import os
import threading
import time

import torch

from arithmetic import runs_for, summary

REST_SECONDS = 0.25  # a GPU at its power limit slows down while it works
LONG_MS = 1e3  # one warm-up is enough
FLUSH_BYTES = 128 << 20


class Stopwatch:
    """On one device. seconds: about how long a row is measured."""

    def __init__(self, device, seconds):
        self.device, self.seconds = device, seconds
        if device == "cuda":
            self.cache_bytes = torch.cuda.get_device_properties(0).L2_cache_size
            self.flushed = torch.empty(max(FLUSH_BYTES, 2 * self.cache_bytes), dtype=torch.uint8,
                                       device=device)

    def synchronize(self):
        if self.device == "cuda":
            torch.cuda.synchronize()

    def once(self, restart, work):
        """Milliseconds of one run by the host's clock, the device idle before and after."""
        restart()
        self.synchronize()
        start = time.perf_counter()
        work()
        self.synchronize()
        return (time.perf_counter() - start) * 1e3

    def measure(self, clock, input_bytes, restart, work):
        """Times after a warm-up. On a GPU, input that could stay in L2 from one run to the next is
        driven out before each."""
        flush = self.device == "cuda" and input_bytes < 2 * self.cache_bytes

        def prepare():
            restart()
            if flush:
                self.flushed.fill_(255)

        self.synchronize()
        time.sleep(REST_SECONDS)
        batch = self._events if self.device == "cuda" and clock == "events" else self._host
        estimate = self.once(prepare, work)
        if estimate < LONG_MS:
            estimate = min(batch(prepare, work, 3))
        return summary(batch(prepare, work, runs_for(estimate, self.seconds)))

    def _host(self, prepare, work, runs):
        return [self.once(prepare, work) for _ in range(runs)]

    def _events(self, prepare, work, runs):
        """Runs queued one after the other, without waiting in between where the work does not."""
        starts = [torch.cuda.Event(enable_timing=True) for _ in range(runs)]
        stops = [torch.cuda.Event(enable_timing=True) for _ in range(runs)]
        for start, stop in zip(starts, stops):
            prepare()
            start.record()
            work()
            stop.record()
        torch.cuda.synchronize()
        return [start.elapsed_time(stop) for start, stop in zip(starts, stops)]


class Memory:
    """Most bytes that a piece of work takes beyond what was there before.

    way: "torch" (peak of torch's allocator), "device" (used memory of the GPU) or "process"
    (resident memory of this process), the last two looked at every millisecond."""

    def __init__(self, way):
        self.way = way

    def _now(self):
        if self.way == "device":
            free, total = torch.cuda.mem_get_info()
            return total - free
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def start(self):
        """What is there before."""
        if self.way == "torch":
            torch.cuda.synchronize()
            self.before = torch.cuda.memory_allocated()
        else:
            if self.way == "device":
                torch.cuda.empty_cache()
            self.before = self._now()

    def peak_of(self, work):
        """Runs the work; bytes beyond start()."""
        if self.way == "torch":
            torch.cuda.reset_peak_memory_stats()
            work()
            torch.cuda.synchronize()
            return torch.cuda.max_memory_allocated() - self.before
        highest, done = [self._now()], threading.Event()

        def look():
            while not done.wait(1e-3):
                highest[0] = max(highest[0], self._now())

        watcher = threading.Thread(target=look)
        watcher.start()
        try:
            work()
        finally:
            done.set()
            watcher.join()
        return max(highest[0], self._now()) - self.before


def gemm_tflops(watch):
    """Median rate of an 8192^3 half-precision product, the ceiling of an assignment."""
    size = 8192
    a = torch.randn(size, size, dtype=torch.float16, device="cuda")
    b = torch.randn(size, size, dtype=torch.float16, device="cuda")
    out = torch.empty_like(a)
    times = watch.measure("events", a.nbytes + b.nbytes, lambda: None,
                          lambda: torch.matmul(a, b, out=out))
    return 2 * size**3 / (times["ms"] * 1e9)
