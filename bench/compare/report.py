"""The Markdown report of a result, and its plots.

  python bench/compare/report.py results.json [--no-plots]

Standard library only but for the plots, which need matplotlib.
"""

import argparse
import json
import pathlib
import sys

import peers
import shapes
import targets
from arithmetic import geometric_mean, three_digits, times_faster
from peers.base import NO_GPU

TITLES = {"assign": "Assignment", "update": "Update of the centroids", "fit": "Fit"}


def line(row):
    """A row as it is printed while it runs."""
    if row["status"] != "ok":
        return f"{row['name']}: {row['status']}: {row['reason']}"
    parts = [f"{row['name']}: {three_digits(row['ms'])} ms",
             f"first call {three_digits(row['first_ms'])} ms"]
    if row.get("notes"):
        parts.append(row["notes"])
    return ", ".join(parts)


def missing(peer, device):
    """That a peer is missing, with the line that installs it where that would help."""
    would_help = device in peer["devices"] and peer["missing"] != NO_GPU
    line_to_run = f". To install it: {peer['install']}" if would_help else ""
    return f"missing: {peer['title']}: {peer['missing']}{line_to_run}"


def time_of(row):
    """Milliseconds that are compared: of a fit an iteration's, since a library may leave alone
    what does not move any more."""
    if row is None or row["status"] != "ok":
        return None
    return row.get("ms_per_iteration", row["ms"])


class Table:
    """The rows of one verb, by shape and peer."""

    def __init__(self, results, verb):
        self.verb = verb
        self.rows = {(row["shape"]["name"], row["peer"]): row
                     for row in results["rows"] if row["verb"] == verb}
        self.shapes, seen = [], set()
        for row in results["rows"]:
            # Where the time was used up before a shape's first row, the list below says so.
            if row["verb"] == verb and row["status"] != "not run" \
                    and row["shape"]["name"] not in seen:
                seen.add(row["shape"]["name"])
                self.shapes.append(shapes.from_dict(row["shape"]))
        self.fewer_bits = {peer["name"]: peer.get("fewer_bits", {}) for peer in results["peers"]}
        # A peer without a time in this verb has no column; the list below says why.
        self.peers = [peer for peer in results["peers"]
                      if any(time_of(self.row(shape, peer["name"])) for shape in self.shapes)]

    def row(self, shape, peer):
        return self.rows.get((shape.name, peer))

    def time(self, shape, peer):
        return time_of(self.row(shape, peer))

    def ratio(self, shape, peer):
        """How many times faster ours is than a peer."""
        return times_faster(self.time(shape, peers.OURS), self.time(shape, peer))

    def fastest_other(self, shape):
        """(title, ratio) of the fastest of the others, None where there is none."""
        ratios = [(self.ratio(shape, peer["name"]), peer["title"]) for peer in self.peers
                  if not peer["name"].startswith(peers.OURS)]
        known = [pair for pair in ratios if pair[0] is not None]
        return min(known)[::-1] if known else None

    def cell(self, shape, peer):
        row = self.row(shape, peer)
        if row is None:
            return ""
        if row["status"] != "ok":
            return {"refused": "-", "not run": "not run"}.get(row["status"], row["status"])
        text = three_digits(time_of(row))
        if peer != peers.OURS:
            ratio = self.ratio(shape, peer)
            text += f" ({three_digits(ratio)}x)" if ratio else ""
        if self.verb != "update" and row["type"] in self.fewer_bits.get(peer, {}):
            text += " †"
        return text + (" *" if row.get("notes") or row["type"] != row["shape"]["type"] else "")


def markdown_table(header, rows):
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return lines + ["| " + " | ".join(row) + " |" for row in rows]


def verb_section(results, verb):
    table = Table(results, verb)
    if not table.shapes:
        return []
    unit = "an iteration" if verb == "fit" else "a call"
    lines = [f"## {TITLES[verb]}", "", f"Milliseconds {unit}; in brackets how many times as long "
             "as flash_kmeans.", ""]
    header = ["b x (n x k)"] + [peer["title"] for peer in table.peers] + ["fastest other"]
    rows = []
    for shape in table.shapes:
        best = table.fastest_other(shape)
        rows.append([shape.text()] + [table.cell(shape, peer["name"]) for peer in table.peers]
                    + [f"{best[0]}, {three_digits(best[1])}x" if best else "-"])
    lines += markdown_table(header, rows)
    means = []
    for peer in table.peers:
        ratios = [ratio for shape in table.shapes if (ratio := table.ratio(shape, peer["name"]))]
        if ratios and peer["name"] != peers.OURS:
            means.append(f"{peer['title']} {three_digits(geometric_mean(ratios))}x "
                         f"({len(ratios)} of {len(table.shapes)} shapes)")
    if means:
        lines += ["", "Geometric means: " + "; ".join(means) + "."]
    return lines + [""]


def detail_section(results):
    """What else was measured, a line a row that has a time."""
    rows = []
    for row in results["rows"]:
        if row["status"] != "ok":
            continue
        check = row["check"]
        quality = next((f"{label} {check[key]:.1e}" for key, label in (
            ("excess", "distances above the least"), ("error_of_means", "largest error"),
            ("inertia_to_ours", "inertia to ours")) if key in check), "reference")
        labels = check.get("labels_as_ours")
        rows.append([
            f"`{row['name']}`", row["type"], three_digits(row["ms"]),
            f"{three_digits(row['ms_q1'])} to {three_digits(row['ms_q3'])}", str(row["runs"]),
            three_digits(row["first_ms"]), f"{row['memory_bytes'] / 2**20:.0f}",
            f"{row['iterations']:.4g}" if row.get("iterations") else "", quality,
            "" if labels is None else f"{labels:.4f}", row.get("notes") or ""])
    header = ["row", "type", "ms", "quartiles", "runs", "first call, ms", "memory, MiB",
              "iterations", "check", "labels as ours", "note"]
    return ["## Every row", "",
            "Whole calls. Memory is the most that a library took beyond the points that it was "
            "given.", ""] + markdown_table(header, rows) + [""]


def peers_section(results):
    keys = [("data", "points before the timer"), ("start", "begins with"),
            ("synchronises", "waits for the device"), ("first_call", "first call"),
            ("extra_work", "besides the iterations"), ("clock", "clock"), ("memory", "memory")]
    rows = [[peer["title"], peer["version"], ", ".join(peer["types"]),
             ", ".join(f"{type} in {bits}" for type, bits in peer.get("fewer_bits", {}).items()),
             "yes" if peer["batched"] else "one by one",
             "as they lie" if peer["strided"] else "copied"]
            + [peer[key] for key, _ in keys]
            for peer in results["peers"] if not peer["missing"]]
    header = ["library", "version", "types", "multiplies", "batches", "NHD"]
    header += [title for _, title in keys]
    lines = ["## What is inside the timer", "",
             "Points of a type that a library lacks are given to it as float, before the timer "
             "starts (marked *, like rows with a note); what is multiplied in fewer bits than the "
             "points have is marked †. Clock: `events` are CUDA events on the "
             "stream that the work is queued on, `host` is the host's clock with the device idle "
             "before and after. Memory: the peak of PyTorch's allocator (torch), the device's used "
             "memory (device) or the process's resident memory (process) looked at every "
             "millisecond.", ""] + markdown_table(header, rows) + [""]
    absent = [peer for peer in results["peers"] if peer["missing"]]
    if absent:
        lines += ["## Missing", ""]
        lines += ["- " + missing(peer, results["context"]["on"]).removeprefix("missing: ")
                  for peer in absent]
        lines.append("")
    return lines


def left_out_section(results):
    reasons = {}
    for row in results["rows"]:
        if row["status"] != "ok":
            key = (row["peer"], row["verb"], row["status"], row["reason"])
            reasons.setdefault(key, []).append(row["shape"]["name"])
    if not reasons:
        return []
    lines = ["## Rows without a time", ""]
    for (peer, verb, status, reason), names in reasons.items():
        lines.append(f"- {peer}, {verb}, {status}: {reason} ({', '.join(names)})")
    return lines + [""]


def targets_section(results):
    rows = []
    for target in targets.TARGETS:
        verdict = targets.judge(target, Table(results, target.verb))
        if verdict is not None:
            ratio, shape, enough = verdict
            rows.append([target.words, f"{target.times:g}x", f"{three_digits(ratio)}x",
                         shape.text(), "yes" if enough else "no"])
    if not rows:
        return []
    return ["## Targets", ""] + markdown_table(
        ["as fast as", "at least", "found", "on", "reached"], rows) + [""]


def context_section(results):
    context = results["context"]
    lines = [f"# flash_kmeans and others on {context['device']}", ""]
    words = [f"{context['date'][:10]}, commit `{context['commit']}`, Python {context['python']}, "
             f"PyTorch {context.get('torch', 'unknown')}"]
    if context.get("cuda"):
        words.append(f"CUDA {context['cuda']}")
    gpu = context.get("gpu") or {}
    if gpu:
        words.append(f"driver {gpu['driver_version']}, power limit {gpu['power.limit']}, clocks up "
                     f"to {gpu['clocks.max.sm']} and {gpu['clocks.max.mem']}")
    lines += [", ".join(words) + ".", "",
              f"Standard normal points (seed {context['seed']}), the same first centroids (points "
              f"of the data) and {context['iterations']} iterations for everybody, no tolerance; "
              "medians; every result checked in float64. d = 128 and half where nothing else is "
              "said.", ""]
    return lines


def markdown(results):
    lines = context_section(results)
    for verb in shapes.VERBS:
        lines += verb_section(results, verb)
    lines += targets_section(results)
    lines += peers_section(results) + left_out_section(results) + detail_section(results)
    return "\n".join(lines)


def write(results, path, plots=True):
    """Report and plots beside the JSON; the paths."""
    written = [path.with_suffix(".md")]
    written[0].write_text(markdown(results), encoding="utf-8")
    if plots:
        try:
            import plots as drawing
        except ImportError as error:
            print(f"no plots: {error} (pip install matplotlib)", file=sys.stderr)
        else:
            written += drawing.draw_all(results, path)
    return written


def main(arguments):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=pathlib.Path)
    parser.add_argument("--no-plots", action="store_true")
    options = parser.parse_args(arguments)
    results = json.loads(options.results.read_text(encoding="utf-8"))
    for path in write(results, options.results, plots=not options.no_plots):
        print(f"wrote {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
