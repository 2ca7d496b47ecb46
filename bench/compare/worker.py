"""One peer in a process of its own, so that a crash of one ends no other. Started by run.py, which
sends a JSON line a row and reads a JSON line back; what the libraries print goes to stderr."""

import argparse
import gc
import json
import os
import sys
import traceback

import torch

import checking
import data
import peers
import shapes
import timing
from peers.base import NO_GPU


def work_of(peer, verb):
    return {"assign": peer.assign, "update": peer.update, "fit": peer.fit}[verb]


def warm_up(peer, options):
    """Loads a library's kernels, so that memory and first calls are those of the row."""
    row = data.make(shapes.warm_up(peer.types), "fit", 2, 0, options.device)
    peer.prepare(data.for_peer(row, peer))
    peer.restart("fit")
    peer.fit()
    peer.release()


def run_row(peer, verb, shape, watch, options):
    row = data.make(shape, verb, options.iterations, options.seed, options.device)
    given = data.for_peer(row, peer)
    memory = timing.Memory("process" if options.device == "cpu" else peer.memory)
    memory.start()
    found = {"type": given.type}

    def first():
        peer.prepare(given)
        found["first_ms"] = watch.once(lambda: peer.restart(verb), lambda: work_of(peer, verb)())

    found["memory_bytes"] = memory.peak_of(first)
    found.update(watch.measure(peer.clock, given.points.nbytes, lambda: peer.restart(verb),
                               work_of(peer, verb)))
    if verb == "fit":
        found["iterations"] = peer.iterations()
    found["notes"] = peer.notes()
    if options.device == "cuda":
        found["sm_mhz"] = clock_now()
        if options.gemm and verb != "update":
            found["gemm_tflops"] = timing.gemm_tflops(watch)
    check, labels = checking.examine(
        verb, row, given.type, None if verb == "update" else peer.labels(),
        None if verb == "assign" else peer.centroids())
    return {**found, "check": check}, labels


def clock_now():
    """Of the multiprocessors in MHz; None without NVIDIA's management library."""
    try:
        return torch.cuda.clock_rate()
    except Exception:  # it is not installed
        return None


def answer(peer, request, watch, options):
    try:
        shape = shapes.from_dict(request["shape"])
        found, labels = run_row(peer, request["verb"], shape, watch, options)
        status = "wrong" if "wrong" in found["check"] else "ok"
        return {"status": status, "reason": found["check"].get("wrong"), "labels": labels, **found}
    except Exception as error:  # whatever a library throws is its row's result
        traceback.print_exc()
        words = " ".join(str(error).split())[:300]
        return {"status": "failed", "reason": f"{type(error).__name__}: {words}"}


def clean_up(peer, device):
    """Throws where the device does not answer any more: then only a new process helps."""
    peer.release()
    gc.collect()
    if device == "cuda":
        torch.cuda.synchronize()
        torch.cuda.empty_cache()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer", required=True)
    parser.add_argument("--device", required=True)
    parser.add_argument("--iterations", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--gemm", action="store_true")
    options = parser.parse_args()

    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def say(message):
        replies.write(json.dumps(message) + "\n")
        replies.flush()

    peer = peers.make(options.peer, options.device)
    missing = peer.why_missing()
    if options.device == "cuda" and not missing and not torch.cuda.is_available():
        missing = NO_GPU
    if not missing:
        try:
            warm_up(peer, options)
        except Exception:  # the rows will tell
            traceback.print_exc()
            peer.release()
    # All are warm before anything is timed: run.py waits for this of every peer.
    say({"missing": missing, "version": None if missing else peer.version(),
         "torch": torch.__version__, "cuda": torch.version.cuda})
    if missing:
        return
    watch = timing.Stopwatch(options.device, options.seconds)
    for line in sys.stdin:
        found = answer(peer, json.loads(line), watch, options)
        # The next row may be another process's, and want the memory.
        try:
            clean_up(peer, options.device)
        finally:
            say(found)


if __name__ == "__main__":
    main()
