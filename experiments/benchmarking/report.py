"""What a benchmark found, as tables and figures."""

import json
import statistics
from collections.abc import Sequence
from pathlib import Path

from benchmarking import scaling_report
from benchmarking.rates import CROWDED, Results, crowding, ratios, short, title
from benchmarking.verdicts import Verdict
from jaxgan import figures


def markdown(results: Results, found: Sequence[Verdict], *, ours: str) -> str:
    """Writes the results as Markdown: what they hold for, a table for each comparison, the verdicts."""
    lines = ["# Benchmark", "", *(f"- {name}: {text}" for name, text in results["about"].items()), ""]
    for comparison in results["comparisons"]:
        lines += _compared(comparison, ours=ours)
    if results["scaling"]:
        lines += scaling_report.tables(results["scaling"], ours=ours)
    if results["overhead"]:
        lines += _looped(results["overhead"])
    return "\n".join([*lines, "## Required", "", *(f"- {verdict.text}" for verdict in found), ""])


def _compared(comparison: Results, *, ours: str) -> list[str]:
    peak, flops, measured = comparison["peak_gflops"], comparison["flops"], ratios(comparison, ours=ours)
    lines = [
        f"## {title(comparison)} ({comparison['device']})",
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
            f"| {name} | {short(rate)} | {short(min(rates))} to {short(max(rates))} | {short(1e3 / rate)} "
            f"| {measured[name]:.2f} | {short(speed)} | {speed / peak:.0%} | {crowding(comparison, name):.2f} |"
        )
    return [*lines, *(f"| {name} | {reason} | | | | | | |" for name, reason in comparison["absent"].items()), ""]


def _looped(found: Results) -> list[str]:
    lines = [
        f"## What the training loop costs: {title(found)} ({found['device']})",
        "",
        f"{found['steps']:,} steps in {found['calls']} calls of the program, of {found['call'] * 1e3:.0f} ms (median). "
        f"Between two calls the host takes {found['between'] * 1e3:.2f} ms, and a call without a step "
        f"{found['empty'] * 1e3:.2f} ms: together {found['share']:.2%} of a call. Between epochs it takes "
        f"{found['epochs'] * 1e3:.1f} ms. With checkpoints and samples, {found['outside']:.1%} of the time was not "
        "spent in calls.",
        "",
        "| step | arrays | their MB | the process's MB |",
        "|---:|---:|---:|---:|",
    ]
    for look in found["memory"]:
        resident = "unknown" if look["resident"] is None else f"{look['resident'] / 1e6:,.1f}"
        lines.append(f"| {look['step']:,} | {look['arrays']} | {look['bytes'] / 1e6:,.3f} | {resident} |")
    return [*lines, ""]


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
            panels[title(comparison) + " (CPUs shared with others)" * crowded] = comparison["rates"]
        columns = len({comparison["threads"] for comparison in results["comparisons"]})
        picture = figures.speeds(panels, reference=ours, columns=columns, title="Training steps per second")
        files.append(figures.save(picture, out / "benchmark.png"))
    if results["scaling"]:
        files.append(figures.save(scaling_report.figure(results["scaling"]), out / "scaling.png"))
    return files
