"""How the cost of a step grows, in tables and a figure."""

import statistics
from collections.abc import Sequence

from matplotlib.figure import Figure

from benchmarking.rates import Results, crowding, ratios, short, title
from jaxgan import figures


def tables(scaling: Results, *, ours: str) -> list[str]:
    """Writes the tables: other sizes, more devices, other chips.

    Args:
      scaling: what was measured.
      ours: the competitor that the others are held against.

    Returns:
      Lines of Markdown.
    """
    return _sizes(scaling, ours=ours) + _devices(scaling["devices"]) + _rooflines(scaling["roofline"])


def _sizes(scaling: Results, *, ours: str) -> list[str]:
    peak = scaling["peak_gflops"]
    lines = [
        f"## {title(scaling)}, at other sizes ({scaling['device']})",
        "",
        f"Width is the number of channels at half of an image's size; large matrix products run at {peak:.0f} GFLOP/s.",
        "",
        "| batch | width | GFLOP a step | | ms/step | GFLOP/s | of the peak | images/s "
        f"| {ours} is faster by | CPUs taken by others |",
        "|---:|---:|---:|---|---:|---:|---:|---:|---:|---:|",
    ]
    for point in scaling["points"]:
        measured = ratios(point, ours=ours)
        for name, rates in point["rates"].items():
            rate = statistics.median(rates)
            speed = rate * point["flops"] / 1e9
            lines.append(
                f"| {point['batch_size']} | {point['width']} | {short(point['flops'] / 1e9)} | {name} "
                f"| {short(1e3 / rate)} | {short(speed)} | {speed / peak:.0%} | {short(rate * point['batch_size'])} "
                f"| {measured[name]:.2f} | {crowding(point, name):.2f} |"
            )
    return [*lines, ""]


def _devices(found: Results) -> list[str]:
    note = "All of them are made of the same CPUs: this shows only what it costs to split a step and to sum gradients."
    lines = ["### More devices, one batch", "", *([note, ""] if found["forced"] else [])]
    lines += ["| devices | ms/step | times one device | CPUs taken by others |", "|---:|---:|---:|---:|"]
    (alone,) = found["points"][0]["rates"].values()
    for point in found["points"]:
        ((name, rates),) = point["rates"].items()
        ratio = statistics.median(a / b for a, b in zip(alone, rates, strict=True))
        speed = short(1e3 / statistics.median(rates))
        lines.append(f"| {point['devices']} | {speed} | {ratio:.2f} | {crowding(point, name):.2f} |")
    return [*lines, ""]


def _rooflines(compiled: Results | None) -> list[str]:
    """The least time of a step on chips that are not here, as `compile_for.py` found it."""
    lines = ["### The least time of a step on other chips", ""]
    if compiled is None:
        return [*lines, "Not known: `compile_for.py` has not been run.", ""]
    lines += ["By the chip's published peaks; compiled for it, not run.", ""]
    lines += ["| recipe | chips | front end | images a chip | µs a step | bound by |", "|---|---|---|---:|---:|---|"]
    for row in compiled["programs"]:
        least = row["roofline"]
        lines.append(
            f"| {row['recipe']} | {row['target']} | {row['parallel']} | {row['batch_a_chip']} "
            f"| {short(least['seconds'] * 1e6)} | {least['bound']} |"
        )
    return [*lines, ""]


def figure(scaling: Results) -> Figure:
    """Draws how the cost of a step grows: in each panel one size varies, the others stay at what most points share.

    Args:
      scaling: what was measured.

    Returns:
      The figure.
    """
    panels = {}
    for size, other in (("batch_size", "width"), ("width", "batch_size")):
        fixed = statistics.mode(point[other] for point in scaling["points"])
        chosen = sorted((p for p in scaling["points"] if p[other] == fixed), key=lambda point: point[size])
        panels[f"{size.replace('_', ' ')}, at {other.replace('_', ' ')} {fixed}"] = _curves(chosen, size)
    panels["devices that share a batch"] = _curves(scaling["devices"]["points"], "devices")
    return figures.scaling(panels, peak=scaling["peak_gflops"], title=f"The cost of a step: {title(scaling)}")


def _curves(points: Sequence[Results], size: str) -> dict[str, list[tuple[float, float, float]]]:
    curves: dict[str, list] = {}
    for point in points:
        for name, rates in point["rates"].items():
            rate = statistics.median(rates)
            curves.setdefault(name, []).append((float(point[size]), 1e3 / rate, rate * point["flops"] / 1e9))
    return curves
