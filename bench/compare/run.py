"""Times flash_kmeans and the libraries that one would use instead, side by side.

  python bench/compare/run.py                        everything that is installed, on the GPU
  python bench/compare/run.py --device cpu           the same without a GPU, on small shapes
  python bench/compare/run.py --peers cuml,faiss --shapes '1M_*,8M_*' --verbs fit

In one run, on one device, on the same points, from the same first centroids, for the same number of
iterations without a tolerance. Each library runs in a process of its own; one row of all of them
follows the other. Every result is checked in float64. Leaves a JSON, a Markdown report and plots;
report.py makes report and plots anew from the JSON, check.py compares two of them.

Standard library only; the libraries are imported by worker.py.
"""

import argparse
import contextlib
import importlib.util
import json
import os
import pathlib
import select
import subprocess
import sys
import time

import environment
import peers
import report
import shapes
import verdict

HERE = pathlib.Path(__file__).resolve().parent
STARTUP_SECONDS = 300
# On the CPU, unless shapes are named: a row is no larger than this.
CPU_FLOPS, CPU_BYTES = 2e10, 1 << 25


class Worker:
    """A peer's process, started when it is first needed."""

    def __init__(self, peer, options):
        self.peer, self.options, self.process = peer, options, None

    def launch(self):
        options = self.options
        command = [sys.executable, str(HERE / "worker.py"), "--peer", self.peer.name,
                   "--device", options.device, "--iterations", str(options.iterations),
                   "--seconds", str(options.seconds), "--seed", str(options.seed)]
        if self.peer.name == peers.OURS and options.device == "cuda":
            command.append("--gemm")
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=options.log, cwd=HERE)
        self.pending = b""

    def greet(self):
        """What it says about itself once it is up; {"missing": why} where it cannot run."""
        found, why = self._read(STARTUP_SECONDS)
        return found or {"missing": why, "version": None}

    def _read(self, seconds):
        """(the next line, None) or (None, why there is none)."""
        end = time.monotonic() + seconds
        while b"\n" not in self.pending:
            ready, _, _ = select.select([self.process.stdout], [], [],
                                        max(0.0, end - time.monotonic()))
            if not ready:
                self.stop()
                return None, f"took longer than {seconds:.0f} s"
            part = os.read(self.process.stdout.fileno(), 1 << 20)
            if not part:
                code = self.process.wait()
                self.stop()
                return None, f"its process ended with code {code}"
            self.pending += part
        line, self.pending = self.pending.split(b"\n", 1)
        return json.loads(line), None

    def run(self, verb, shape):
        if self.process is not None and self.process.poll() is not None:
            self.stop()  # it ended after its last answer
        if self.process is None:
            self.launch()
            missing = self.greet()["missing"]
            if missing:
                self.stop()
                return {"status": "failed", "reason": f"could not be started again: {missing}"}
        request = json.dumps({"verb": verb, "shape": shape.as_dict()}) + "\n"
        try:
            self.process.stdin.write(request.encode())
            self.process.stdin.flush()
        except OSError:
            self.stop()
            return {"status": "failed", "reason": "its process ended before it was asked"}
        found, why = self._read(self.options.row_seconds)
        return found or {"status": "failed", "reason": why}

    def stop(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process.stdout.close()
            with contextlib.suppress(OSError):  # what it did not read any more
                self.process.stdin.close()
            self.process = None


def parse(arguments):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", default="all", help="all, or of: " + ", ".join(peers.NAMES))
    parser.add_argument("--shapes", default="peers",
                        help="of ../shapes.csv: names and patterns, all, or peers (those marked "
                             "so, the default)")
    parser.add_argument("--verbs", default="assign,update,fit")
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--iterations", type=int, default=10, help="of a fit, default 10")
    parser.add_argument("--seconds", type=float, default=0.5, help="measured a row, default 0.5")
    parser.add_argument("--row-seconds", type=float, default=240,
                        help="after which a row is given up, default 240")
    parser.add_argument("--minutes", type=float, default=None,
                        help="after which no row is begun; what is left is reported as not run")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=pathlib.Path, default=None,
                        help="JSON to write, default compare-<device>.json here")
    parser.add_argument("--resume", action="store_true",
                        help="go on with the rows that --out does not have yet")
    parser.add_argument("--log", type=pathlib.Path, default=None,
                        help="what the libraries print; default: the terminal")
    parser.add_argument("--no-plots", action="store_true")
    options = parser.parse_args(arguments)
    for name in ("iterations", "seconds", "row_seconds"):
        if not getattr(options, name) > 0:
            parser.error(f"--{name.replace('_', '-')} is {getattr(options, name)}, must be above 0")
    options.verbs = options.verbs.split(",")
    for verb in options.verbs:
        if verb not in shapes.VERBS:
            parser.error(f"--verbs: '{verb}' is none of {', '.join(shapes.VERBS)}")
    try:
        options.named = options.shapes != "peers"
        options.shapes = shapes.choose(shapes.read(), options.shapes)
        options.peers = [peers.make(name, options.device) for name in peers.choose(options.peers)]
    except ValueError as error:
        parser.error(str(error))
    if options.device == "cpu" and not options.named:
        options.shapes = [shape for shape in shapes.read() if fits_cpu(shape, options.iterations)]
    if options.out is None:
        options.out = pathlib.Path(f"compare-{options.device}.json")
    return options


def fits_cpu(shape, iterations):
    return shape.assign_flops * iterations <= CPU_FLOPS and shape.point_bytes <= CPU_BYTES


def row_name(verb, shape, peer):
    return f"{verb}/{shape.name}/{peer.name}"


def begin(options):
    """The results so far: of --out where it is resumed, else none."""
    if options.resume and options.out.exists():
        results = json.loads(options.out.read_text(encoding="utf-8"))
        same = environment.describe(options.device)
        for key in ("device", "commit"):
            if results["context"][key] != same[key]:
                raise SystemExit(f"run: {options.out} is of another {key}: "
                                 f"{results['context'][key]}, here {same[key]}")
        for key in ("iterations", "seed"):
            if results["context"][key] != getattr(options, key):
                raise SystemExit(f"run: {options.out} has {key} {results['context'][key]}")
        results["rows"] = [row for row in results["rows"] if row["status"] != "not run"]
        return results
    context = {**environment.describe(options.device), "on": options.device,
               "iterations": options.iterations,
               "seed": options.seed, "seconds": options.seconds, "runs": []}
    return {"format": 1, "context": context, "peers": [], "rows": []}


def save(results, path):
    """All of it or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".new")
    beside.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    beside.replace(path)


def introduce(workers, options, results):
    """Starts every peer; returns those that can run. A peer that is missing is recorded, never
    left out in silence."""
    present = []
    for worker in workers:
        if options.device in worker.peer.devices:
            worker.launch()
    for worker in workers:
        if options.device in worker.peer.devices:
            found = worker.greet()
        else:
            found = {"missing": f"does not run on {options.device}", "version": None}
        facts = {**worker.peer.facts(), "version": found["version"], "missing": found["missing"]}
        results["peers"] = [peer for peer in results["peers"] if peer["name"] != facts["name"]]
        results["peers"].append(facts)
        for key in ("torch", "cuda"):
            if found.get(key):
                results["context"][key] = found[key]
        if found["missing"]:
            worker.stop()
            print(report.missing(facts, options.device), flush=True)
        else:
            present.append(worker)
            print(f"present: {facts['title']} {facts['version']}", flush=True)
    order = list(peers.NAMES)
    results["peers"].sort(key=lambda peer: order.index(peer["name"]))
    return present


def measure(verb, shape, worker, options, ours):
    """One row; ours: what our own row of this verb and shape gave, {} when this is it."""
    peer = worker.peer
    row = {"name": row_name(verb, shape, peer), "verb": verb, "shape": shape.as_dict(),
           "peer": peer.name}
    why = peer.refuses(verb, shape, options.iterations)
    if why:
        return {**row, "status": "refused", "reason": why}
    found = worker.run(verb, shape)
    labels = found.pop("labels", None)
    if found["status"] == "ok" and ours:
        verdict.against_ours(found["check"], labels, ours.get("check", {}), ours.get("labels"),
                             peer.takes_start)
        if "wrong" in found["check"]:
            found.update(status="wrong", reason=found["check"]["wrong"])
    if peer.name == peers.OURS:
        ours.update({"check": found.get("check", {}), "labels": labels})
    if found.get("iterations"):
        found["ms_per_iteration"] = found["ms"] / found["iterations"]
    return {**row, **found}


def run(options):
    results = begin(options)
    workers = [Worker(peer, options) for peer in options.peers]
    results["context"]["runs"].append(environment.describe(options.device))
    end = None if options.minutes is None else time.monotonic() + 60 * options.minutes
    try:
        present = introduce(workers, options, results)
        if not present or present[0].peer.name != peers.OURS:
            raise SystemExit("run: flash_kmeans itself is missing, and everything is compared with "
                             "it")
        for shape in options.shapes:
            for verb in [verb for verb in shape.verbs() if verb in options.verbs]:
                one_row_of_all(verb, shape, present, options, results, end)
    finally:
        for worker in workers:
            worker.stop()
        save(results, options.out)
    return results


def one_row_of_all(verb, shape, present, options, results, end):
    done = {row["name"] for row in results["rows"]}
    left = [worker for worker in present if row_name(verb, shape, worker.peer) not in done]
    if not left:
        return
    # The others' labels are compared with ours, so ours runs again where any of them is left.
    again = [] if left[0].peer.name == peers.OURS else present[:1]
    ours = {}
    for worker in again + left:
        if end is not None and time.monotonic() > end:
            row = {"name": row_name(verb, shape, worker.peer), "verb": verb,
                   "shape": shape.as_dict(), "peer": worker.peer.name, "status": "not run",
                   "reason": "the time that --minutes allows was used up"}
        else:
            row = measure(verb, shape, worker, options, ours)
        if worker in again:
            continue
        results["rows"].append(row)
        save(results, options.out)
        print(report.line(row), flush=True)


def main(arguments):
    options = parse(arguments)
    if importlib.util.find_spec("torch") is None:
        print("run: PyTorch is what everything is compared through: pip install torch",
              file=sys.stderr)
        return 2
    if not options.shapes:
        print("run: no shape was chosen", file=sys.stderr)
        return 2
    if options.log is not None:
        options.log = open(options.log, "ab")  # until this process ends
    results = run(options)
    for path in report.write(results, options.out, plots=not options.no_plots):
        print(f"wrote {path}")
    measured = [row for row in results["rows"] if row["status"] in ("ok", "wrong", "failed")]
    bad = [row["name"] for row in measured
           if row["peer"] == peers.OURS and row["status"] != "ok"]
    if bad:
        print(f"run: flash_kmeans itself failed: {', '.join(bad)}", file=sys.stderr)
    return 1 if bad or not measured else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
