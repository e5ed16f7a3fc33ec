"""What a benchmark found: the table, the figure, and whether it is what was required."""

import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

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


def verdicts(
    results: Results, *, required: Mapping[str, Mapping[str, float]], ours: str, start_limits: Mapping[str, float]
) -> tuple[list[Verdict], list[Verdict]]:
    """Holds the results against what is required.

    Args:
      results: what was measured.
      required: least ratio, by case and competitor.
      ours: the competitor that must be faster.
      start_limits: most seconds to the first step, by kind of start.

    Returns:
      The verdicts on ratios, and those on starts; what could not be measured, or not undisturbed, is not met.
    """
    on_ratios, on_starts = [], []
    for comparison in results["comparisons"]:
        measured = ratios(comparison, ours=ours)
        for name, least in required[comparison["case"]].items():
            what = f"{comparison['case']}, {_threads(comparison)}: at least {least:g} times {name}"
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


def _threads(comparison: Results) -> str:
    return f"{comparison['threads']} thread{'s' * (comparison['threads'] > 1)}"


def markdown(results: Results, found: Sequence[Verdict], *, ours: str) -> str:
    """Writes the results as Markdown: what they hold for, a table for each comparison, the verdicts."""
    lines = ["# Benchmark", "", *(f"- {name}: {text}" for name, text in results["about"].items()), ""]
    for comparison in results["comparisons"]:
        peak, flops, measured = comparison["peak_gflops"], comparison["flops"], ratios(comparison, ours=ours)
        lines += [
            f"## {comparison['case']}, {_threads(comparison)} ({comparison['device']})",
            "",
            f"A step multiplies matrices for {flops / 1e6:.1f} MFLOP; large products run at {peak:.0f} GFLOP/s here.",
            "",
            f"| | steps/s, median | min to max | ms/step | {ours} is faster by | GFLOP/s | of the peak "
            "| CPUs taken by others |",
            "|---|---:|---:|---:|---:|---:|---:|---:|",
        ]
        for name, rates in comparison["rates"].items():
            rate = statistics.median(rates)
            speed = rate * flops / 1e9
            lines.append(
                f"| {name} | {rate:,.0f} | {min(rates):,.0f} to {max(rates):,.0f} | {1e3 / rate:.2f} "
                f"| {measured[name]:.2f} | {speed:.0f} | {speed / peak:.0%} "
                f"| {crowding(comparison, name):.2f} |"
            )
        lines += [f"| {name} | {reason} | | | | | | |" for name, reason in comparison["absent"].items()]
        lines.append("")
    return "\n".join([*lines, "## Required", "", *(f"- {verdict.text}" for verdict in found), ""])


def write(results: Results, found: Sequence[Verdict], *, ours: str, out: Path) -> list[Path]:
    """Writes table, numbers and figure.

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
    groups = {}
    for comparison in results["comparisons"]:
        crowded = any(crowding(comparison, name) > CROWDED for name in comparison["rates"])
        label = f"{comparison['case']}\n{_threads(comparison)}" + "\n(CPUs shared\nwith others)" * crowded
        groups[label] = comparison["rates"]
    picture = figures.speeds(groups, reference=ours, title="Training steps per second")
    return [table, numbers, figures.save(picture, out / "benchmark.png")]
