"""Compares two results of the benchmarks and fails where the newer one is slower.

  python bench/compare/check.py old.json new.json [--allowed 0.05]

Reads results of bench/compare/run.py and of the C++ benchmarks (Google Benchmark). A row is slower
when

  new - old > allowed * old + sqrt(noise_old^2 + noise_new^2)

where old and new are the medians and noise is, of each: the standard deviation of repetitions where
there are repetitions (--benchmark_repetitions), else half the distance between the quartiles where
they are known, else median - minimum. Runs that are slowed by something else make a maximum that
says nothing, so maxima do not count. Graph replays of the C++ benchmarks are rows of their own.

Exit code 0: no row is slower; 1: the rows that are printed are slower, or failed in the newer file
and not in the older; 2: the files cannot be compared. Rows that only one file has are named, and
are no failure. Standard library only.
"""

import argparse
import json
import math
import statistics
import sys

MS = {"ns": 1e-6, "us": 1e-3, "ms": 1.0, "s": 1e3}


def own_rows(results):
    """Of run.py: name -> (median, noise) in ms, or None where the row has no time."""
    rows = {}
    for row in results["rows"]:
        if row["status"] == "ok":
            rows[row["name"]] = (row["ms"], (row["ms_q3"] - row["ms_q1"]) / 2)
        elif row["status"] in ("failed", "wrong"):
            rows[row["name"]] = None
    return rows


def google_rows(results):
    """Of Google Benchmark, likewise."""
    runs = {}
    for entry in results["benchmarks"]:
        if entry.get("run_type") != "aggregate":
            runs.setdefault(entry.get("run_name", entry["name"]), []).append(entry)
    rows = {}
    for name, entries in runs.items():
        if any(entry.get("error_occurred") for entry in entries):
            rows[name] = None
            continue
        times = [entry["real_time"] * MS[entry["time_unit"]] for entry in entries]
        rows[name] = (statistics.median(times), _noise(entries, times, "ms"))
        replays = [entry["graph_ms"] for entry in entries if "graph_ms" in entry]
        if replays:
            rows[name + " graph"] = (
                statistics.median(replays), _noise(entries, replays, "graph_ms"))
    return rows


def _noise(entries, times, key):
    if len(times) > 1:
        return statistics.stdev(times)
    lowest = entries[0].get(key + "_min")
    return max(times[0] - lowest, 0.0) if lowest is not None else 0.0


def rows_of(results):
    if "benchmarks" in results:
        return google_rows(results)
    if "rows" in results:
        return own_rows(results)
    raise ValueError("neither a result of run.py nor of Google Benchmark")


def is_slower(old, new, allowed):
    """Of two (median, noise)."""
    return new[0] - old[0] > allowed * old[0] + math.hypot(old[1], new[1])


def compare(old, new, allowed=0.05):
    """Of two results of rows_of: names of slower rows, rows that fail now, and rows that only the
    old or only the new one has."""
    both = [name for name in old if name in new]
    timed = [name for name in both if old[name] and new[name]]
    return {
        "slower": [name for name in timed if is_slower(old[name], new[name], allowed)],
        "failed": [name for name in new if new[name] is None and old.get(name, ())],
        "only_old": [name for name in old if name not in new],
        "only_new": [name for name in new if name not in old],
        "compared": len(timed),
    }


def report(found, old, new):
    lines = []
    for name in found["slower"]:
        change = new[name][0] / old[name][0] - 1
        lines.append(f"slower: {name}: {old[name][0]:.4g} ms (noise {old[name][1]:.2g}) -> "
                     f"{new[name][0]:.4g} ms (noise {new[name][1]:.2g}), {change:+.1%}")
    lines += [f"failed: {name}" for name in found["failed"]]
    lines += [f"only in the old file: {name}" for name in found["only_old"]]
    lines += [f"only in the new file: {name}" for name in found["only_new"]]
    lines.append(f"{found['compared']} rows compared, {len(found['slower'])} slower, "
                 f"{len(found['failed'])} failed")
    return lines


def main(arguments):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old")
    parser.add_argument("new")
    parser.add_argument("--allowed", type=float, default=0.05,
                        help="share by which a row may be slower, default 0.05")
    options = parser.parse_args(arguments)
    if not 0 <= options.allowed < 10:
        parser.error(f"--allowed is {options.allowed}, must be from 0 to 10")
    try:
        rows = []
        for path in (options.old, options.new):
            with open(path, encoding="utf-8") as file:
                rows.append(rows_of(json.load(file)))
    except (OSError, ValueError, KeyError) as error:
        print(f"check: {path}: {error!r}", file=sys.stderr)
        return 2
    found = compare(*rows, options.allowed)
    print("\n".join(report(found, *rows)))
    if found["compared"] == 0:
        print("check: the files have no row in common that has a time", file=sys.stderr)
        return 2
    return 1 if found["slower"] or found["failed"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
