"""Plots of a result, SVG and PNG: time against n, k and d, share of the GEMM ceiling, and bars."""

import matplotlib

matplotlib.use("Agg")
matplotlib.rcParams["svg.hashsalt"] = "flash_kmeans"  # the same file for the same result
import matplotlib.pyplot as plt  # noqa: E402

import peers  # noqa: E402
from report import TITLES, Table  # noqa: E402
from shapes import VERBS  # noqa: E402

AXES = {"n": "points", "k": "clusters", "d": "features"}
FEWEST_POINTS = 3
BARS = 10


def colour(name):
    """One a library, the same in every plot."""
    return plt.get_cmap("tab20")(list(peers.NAMES).index(name))


def families(table, axis):
    """Shapes that differ along one axis only, the longest series first."""
    found = {}
    for shape in table.shapes:
        key = tuple(getattr(shape, field) for field in ("b", "h", "n", "k", "d", "type", "layout")
                    if field != axis)
        found.setdefault(key, []).append(shape)
    series = [sorted(group, key=lambda shape: getattr(shape, axis)) for group in found.values()]
    return sorted((group for group in series if len(group) >= FEWEST_POINTS), key=len, reverse=True)


def caption(group, axis):
    shape = group[0]
    sizes = [f"{letter} = {getattr(shape, letter)}" for letter in "nkd" if letter != axis]
    if shape.problems > 1:
        sizes.insert(0, f"{shape.problems} problems")
    return ", ".join(sizes + [shape.type])


def legend(axes):
    """Beside the plot, where it hides nothing."""
    axes.legend(fontsize="small", loc="upper left", bbox_to_anchor=(1.01, 1))


def save(figure, path, name):
    written = []
    for suffix in ("svg", "png"):
        file = path.with_name(f"{path.stem}-{name}.{suffix}")
        metadata = {"Date": None} if suffix == "svg" else None
        figure.savefig(file, dpi=150, bbox_inches="tight", metadata=metadata)
        written.append(file)
    plt.close(figure)
    return written


def lines(table, axis, path):
    """Time against one of n, k, d for the longest series; [] where no series is long enough."""
    groups = families(table, axis)
    if not groups:
        return []
    group = groups[0]
    figure, axes = plt.subplots(figsize=(7, 5))
    for peer in table.peers:
        points = [(getattr(shape, axis), time) for shape in group
                  if (time := table.time(shape, peer["name"])) is not None]
        if points:
            ours = peer["name"] == peers.OURS
            axes.plot(*zip(*points), marker="o", color=colour(peer["name"]), label=peer["title"],
                      linewidth=3 if ours else 1.5, zorder=3 if ours else 2)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xlabel(f"{axis} ({AXES[axis]})")
    axes.set_ylabel("ms an iteration" if table.verb == "fit" else "ms a call")
    axes.set_title(f"{TITLES[table.verb]}: {caption(group, axis)}")
    axes.grid(True, which="major", alpha=0.3)
    legend(axes)
    return save(figure, path, f"{table.verb}-{axis}")


def ceiling(results, path):
    """Assignments as a share of a GEMM's rate."""
    table = Table(results, "assign")
    gemm = {row["shape"]["name"]: row.get("gemm_tflops") for row in results["rows"]
            if row["verb"] == "assign" and row["peer"] == peers.OURS}
    chosen = [shape for shape in table.shapes if gemm.get(shape.name)]
    if not chosen:
        return []
    figure, axes = plt.subplots(figsize=(7, 1 + 0.28 * len(chosen)))
    for peer in table.peers:
        points = [(shape.assign_flops / (time * 1e9) / gemm[shape.name], index)
                  for index, shape in enumerate(chosen)
                  if (time := table.time(shape, peer["name"])) is not None]
        if points:
            axes.scatter(*zip(*points), color=colour(peer["name"]), label=peer["title"], zorder=3)
    axes.set_yticks(range(len(chosen)), [shape.text() for shape in chosen], fontsize="small")
    axes.invert_yaxis()
    axes.axvline(1, color="grey", linewidth=1)
    axes.set_xlim(left=0)
    axes.set_xlabel("share of the rate of an 8192 x 8192 x 8192 half-precision GEMM")
    axes.set_title("Assignment")
    axes.grid(True, axis="x", alpha=0.3)
    legend(axes)
    return save(figure, path, "ceiling")


def bars(table, path):
    """How many times as long the others take, on shapes that half of them have, evenly spread over
    the list."""
    others = [peer for peer in table.peers if not peer["name"].startswith(peers.OURS)]
    known = [shape for shape in table.shapes
             if 2 * sum(table.ratio(shape, peer["name"]) is not None for peer in others)
             >= max(1, len(others))]
    chosen = known[::max(1, -(-len(known) // BARS))]
    if not chosen:
        return []
    figure, axes = plt.subplots(figsize=(max(7, 1.6 * len(chosen)), 5))
    width = 0.8 / len(others)
    for index, peer in enumerate(others):
        for place, shape in enumerate(chosen):
            ratio = table.ratio(shape, peer["name"])
            if ratio is not None:
                axes.bar(place - 0.4 + (index + 0.5) * width, ratio - 1, width, bottom=1,
                         color=colour(peer["name"]))
        axes.bar(0, 0, bottom=1, color=colour(peer["name"]), label=peer["title"])
    axes.axhline(1, color=colour(peers.OURS), linewidth=2, label="flash_kmeans")
    axes.set_yscale("log")
    axes.set_xticks(range(len(chosen)), [shape.text() for shape in chosen], rotation=30,
                    ha="right", fontsize="small")
    axes.set_ylabel("times as long as flash_kmeans")
    axes.set_title(TITLES[table.verb])
    axes.grid(True, axis="y", alpha=0.3)
    legend(axes)
    return save(figure, path, f"{table.verb}-bars")


def draw_all(results, path):
    written = []
    for verb in VERBS:
        table = Table(results, verb)
        for axis in AXES:
            written += lines(table, axis, path)
        written += bars(table, path)
    return written + ceiling(results, path)
