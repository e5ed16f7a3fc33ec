"""What a benchmark found: the table, the figure, and whether it is what was required."""

import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from matplotlib.figure import Figure

from jaxgan import figures

Results = Mapping[str, Any]  # what benchmark.json holds
CROWDED = 0.1  # CPUs taken by other programs beyond which a comparison is not judged


class Verdict(NamedTuple):
    """One requirement, with what was measured."""

    text: str
    met: bool


def ratios(comparison: Results, *, ours: str) -> dict[str, float]:
    """Compares speeds turn by turn.

    Args:
      comparison: rates by competitor and turn.
      ours: the competitor that the others are held against.

    Returns:
      The median over turns of how many times as fast ours was, by competitor.
    """
    rates = comparison["rates"]
    return {
        name: statistics.median(a / b for a, b in zip(rates[ours], other, strict=True)) for name, other in rates.items()
    }


def crowding(comparison: Results, name: str) -> float:
    """How many of the CPUs other programs took in the median turn of a competitor; 0 where the system does not tell."""
    known = [taken for taken in comparison["others"][name] if taken is not None]
    return statistics.median(known) if known else 0.0


def ratio_required(by_threads: Sequence[float], threads: int) -> float:
    """The least ratio on so many threads, of those for one, for two, and so on; the last holds for all more."""
    return by_threads[min(threads, len(by_threads)) - 1]


def verdicts(
    results: Results,
    *,
    required: Mapping[str, Mapping[str, Sequence[float]]],
    ours: str,
    start_limits: Mapping[str, float],
) -> tuple[list[Verdict], list[Verdict]]:
    """Holds the results against what is required.

    Args:
      results: what was measured.
      required: least ratios, by case, competitor and number of threads (see :func:`ratio_required`).
      ours: the competitor that must be faster.
      start_limits: most seconds to the first step, by kind of start.

    Returns:
      The verdicts on ratios, and those on starts; what could not be measured, or not undisturbed, is not met.
    """
    on_ratios, on_starts = [], []
    for comparison in results["comparisons"]:
        measured = ratios(comparison, ours=ours)
        for name, by_threads in required[comparison["case"]].items():
            least = ratio_required(by_threads, comparison["threads"])
            what = f"{_name(comparison)}: at least {least:g} times {name}"
            crowd = max(crowding(comparison, n) for n in {ours, name} & measured.keys())
            if crowd > CROWDED:
                text = f"{what}: not judged, other programs took {crowd:.1f} of its CPUs; repeat it on an idle machine"
                on_ratios.append(_verdict(text, False))
            elif name in measured:
                on_ratios.append(_verdict(f"{what}: {measured[name]:.2f} times", measured[name] >= least))
            else:
                on_ratios.append(_verdict(f"{what}: not measured ({comparison['absent'].get(name)})", False))
    for kind, most in start_limits.items():
        if times := results["starts"][kind]:
            median = statistics.median(times)
            spread = f"{min(times):.1f} to {max(times):.1f}"
            what = f"first training step, {kind} compilation cache: at most {most:g} s: {median:.1f} s ({spread})"
            on_starts.append(_verdict(what, median <= most))
    return on_ratios, on_starts


def _verdict(text: str, met: bool) -> Verdict:
    return Verdict(f"{'met' if met else 'NOT met'}: {text}", bool(met))


def in_words(threads: int) -> str:
    """A number of threads, in words."""
    return f"{threads} thread{'s' * (threads > 1)}"


def _name(comparison: Results) -> str:
    return f"{comparison['case']}, {in_words(comparison['threads'])}"


def markdown(results: Results, found: Sequence[Verdict], *, ours: str) -> str:
    """Writes the results as Markdown: what they hold for, a table for each comparison, the verdicts."""
    lines = ["# Benchmark", "", *(f"- {name}: {text}" for name, text in results["about"].items()), ""]
    for comparison in results["comparisons"]:
        lines += _compared(comparison, ours=ours)
    if results["scaling"]:
        lines += _grown(results["scaling"], ours=ours)
    return "\n".join([*lines, "## Required", "", *(f"- {verdict.text}" for verdict in found), ""])


def _compared(comparison: Results, *, ours: str) -> list[str]:
    peak, flops, measured = comparison["peak_gflops"], comparison["flops"], ratios(comparison, ours=ours)
    lines = [
        f"## {_name(comparison)} ({comparison['device']})",
        "",
        f"A step multiplies for {flops / 1e6:,.1f} MFLOP; large matrix products run at {peak:.0f} GFLOP/s here.",
        "",
        f"| | steps/s, median | min to max | ms/step | {ours} is faster by | GFLOP/s | of the peak "
        "| CPUs taken by others |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for name, rates in comparison["rates"].items():
        rate = statistics.median(rates)
        speed = rate * flops / 1e9
        lines.append(
            f"| {name} | {_short(rate)} | {_short(min(rates))} to {_short(max(rates))} | {_short(1e3 / rate)} "
            f"| {measured[name]:.2f} | {_short(speed)} | {speed / peak:.0%} | {crowding(comparison, name):.2f} |"
        )
    return [*lines, *(f"| {name} | {reason} | | | | | | |" for name, reason in comparison["absent"].items()), ""]


def _grown(scaling: Results, *, ours: str) -> list[str]:
    peak = scaling["peak_gflops"]
    lines = [
        f"## {_name(scaling)}, at other sizes ({scaling['device']})",
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
                f"| {point['batch_size']} | {point['width']} | {_short(point['flops'] / 1e9)} | {name} "
                f"| {_short(1e3 / rate)} | {_short(speed)} | {speed / peak:.0%} | {_short(rate * point['batch_size'])} "
                f"| {measured[name]:.2f} | {crowding(point, name):.2f} |"
            )
    return [*lines, ""]


def _short(value: float) -> str:
    """Three digits, or the whole part of what has more."""
    return f"{value:,.0f}" if value >= 100 else f"{value:#.3g}".rstrip(".")


def write(results: Results, found: Sequence[Verdict], *, ours: str, out: Path) -> list[Path]:
    """Writes tables, numbers and figures.

    Args:
      results: what was measured.
      found: the verdicts.
      ours: the competitor that the others are held against.
      out: an existing folder.

    Returns:
      The files written.
    """
    table, numbers = out / "benchmark.md", out / "benchmark.json"
    table.write_text(markdown(results, found, ours=ours))
    numbers.write_text(json.dumps({**results, "required": [verdict._asdict() for verdict in found]}, indent=2) + "\n")
    files = [table, numbers]
    if results["comparisons"]:
        panels = {}
        for comparison in results["comparisons"]:
            crowded = any(crowding(comparison, name) > CROWDED for name in comparison["rates"])
            panels[_name(comparison) + " (CPUs shared with others)" * crowded] = comparison["rates"]
        columns = len({comparison["threads"] for comparison in results["comparisons"]})
        picture = figures.speeds(panels, reference=ours, columns=columns, title="Training steps per second")
        files.append(figures.save(picture, out / "benchmark.png"))
    if results["scaling"]:
        files.append(figures.save(_scaling_figure(results["scaling"]), out / "scaling.png"))
    return files


def _scaling_figure(scaling: Results) -> Figure:
    """Draws how the cost of a step grows: in each panel one size varies, the other stays at what most points share."""
    panels = {}
    for size, other in (("batch_size", "width"), ("width", "batch_size")):
        fixed = statistics.mode(point[other] for point in scaling["points"])
        curves: dict[str, list] = {}
        for point in sorted((p for p in scaling["points"] if p[other] == fixed), key=lambda point: point[size]):
            for name, rates in point["rates"].items():
                rate = statistics.median(rates)
                curves.setdefault(name, []).append((float(point[size]), 1e3 / rate, rate * point["flops"] / 1e9))
        panels[f"{size.replace('_', ' ')}, at {other.replace('_', ' ')} {fixed}"] = curves
    return figures.scaling(panels, peak=scaling["peak_gflops"], title=f"The cost of a step: {_name(scaling)}")
