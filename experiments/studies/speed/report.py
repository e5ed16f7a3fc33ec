"""The report of the benchmark: one table, one figure, and folded details."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from studies import figures
from studies.markdown import details, document, number, table
from studies.speed.programs import JAXGAN, PROGRAMS, RECIPES
from studies.speed.timing import ratio

from jaxgan import figures as package_figures

Results = Mapping[str, Any]  # content of numbers.json; see `benchmark.study`

RATES = """\
The programs of a method take turns in one process: {turns}. A cell shows the median of steps per second over turns.
In brackets: the speed-up of jaxgan, the median of the ratios within a turn, which varies by about 10 % between runs.
Spinning threads, as in PyTorch, suffer most from other load; the load average was {load:.1f} before the benchmark.
All devices: on CPU one per thread. PyTorch compiled: torch.compile, fused Adam, channels last, no unused gradients. An
empty cell: the program is not available."""
STARTS = """\
Seconds from the start of a script to its first training step, on one thread. Medians of {start_count} starts with an
empty compilation cache (cold), each followed by a start with the filled cache (warm). Eager PyTorch has no cache."""
SCALING = "On one thread. A cell shows the median of milliseconds per step; in brackets, the speed-up of jaxgan."


def write(results: Results, *, out: Path) -> Path:
    """Writes the report, its numbers and its figure to an existing folder, and returns the path of the report."""
    (out / "report.md").write_text(markdown(results), encoding="utf-8")
    (out / "numbers.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    if panels := {f"{title(each['method'])}, {_threads(each['threads'])}": each["rates"] for each in results["speeds"]}:
        columns = len({each["threads"] for each in results["speeds"]})
        picture = figures.speeds(panels, reference=JAXGAN, columns=columns, title="Training steps per second")
        package_figures.save(picture, out / "speed.png")
    return out / "report.md"


def markdown(results: Results) -> str:
    """Formats the report as Markdown, without parts that were not measured."""
    blocks = ["# Speed of the same training steps", f"{results['machine']}; `{results['command']}`"]
    if results["speeds"]:
        blocks += [RATES.format(**results), speed_table(results["speeds"])]
        blocks.append("![Training steps per second](speed.png)")
    if results["starts"]:
        blocks += ["## The first step", STARTS.format(**results), starts_table(results["starts"])]
    if results["scaling"]:
        blocks.append(details("A DCGAN step by batch size and width", scaling_table(results["scaling"])))
    if results["loop"]:
        blocks.append(details("The training loop and its memory", loop_text(results["loop"])))
    return document(*blocks)


def speed_table(speeds: list[Results]) -> str:
    """Formats a table with a row per method and program, and a column per number of threads."""
    threads = sorted({each["threads"] for each in speeds})
    rates = {(each["method"], each["threads"]): each["rates"] for each in speeds}
    rows = [
        [title(method), program, *(cell(rates.get((method, count), {}), program) for count in threads)]
        for method in dict.fromkeys(each["method"] for each in speeds)
        for program in PROGRAMS
    ]
    header = ["method", "program", *(f"steps/s, {_threads(count)}" for count in threads)]
    return table(header, [row for row in rows if any(row[2:])], "ll" + "r" * len(threads))


def cell(rates: Mapping[str, list[float]], program: str, *, milliseconds: bool = False) -> str:
    """Formats the median of a program, and the speed-up of jaxgan; empty for a program without rates."""
    if program not in rates:
        return ""
    median = float(np.median(rates[program]))
    text = number(1e3 / median if milliseconds else median)
    return text if program == JAXGAN else f"{text} ({ratio(rates[JAXGAN], rates[program]):.2f})"


def starts_table(starts: Results) -> str:
    """Formats a table of the median seconds to the first step."""
    rows = [
        [title(method), program, *(f"{np.median(times):.1f}" for times in seconds.values())]
        for method, programs in starts.items()
        for program, seconds in programs.items()
    ]
    return table(["method", "program", "cold, s", "warm, s"], rows, "llrr")


def scaling_table(points: list[Results]) -> str:
    """Formats a table with a row per batch size and width."""
    programs = [program for program in PROGRAMS if program in points[0]["rates"]]
    rows = []
    for point in points:
        images = number(point["batch_size"] * float(np.median(point["rates"][JAXGAN])))
        times = [cell(point["rates"], program, milliseconds=True) for program in programs]
        rows.append([point["batch_size"], point["width"], *times, images])
    return document(SCALING, table(["batch size", "width", *programs, "jaxgan, images/s"], rows, "r" * len(rows[0])))


def loop_text(loop: Results) -> str:
    """Describes the overhead of the training loop, and the growth of its memory."""
    call, between = (1e3 * float(np.median(loop[name])) for name in ("calls", "between"))
    outside = sum(loop["between"]) / (sum(loop["calls"]) + sum(loop["between"]))
    text = (
        f"{title(loop['method'])}, {loop['steps']:,} steps. A call of the compiled program takes {call:.0f} ms, "
        f"and the loop {between:.2f} ms between calls (medians). Including metrics, checkpoints and samples, "
        f"{outside:.1%} of the time lies between calls."
    )
    if len(memory := loop["memory"]) > 1:
        first, last = memory[0], memory[-1]
        growth = np.polyfit(*([row[name] for row in memory] for name in ("step", "resident_mb")), 1)[0]
        held = " and ".join(f"{row['arrays']} arrays of {row['arrays_mb']:.3f} MB" for row in (first, last))
        text += (
            f"\n\nJAX holds {held} after {first['step']:,} and {last['step']:,} steps. The process grows by "
            f"{1e3 * growth:.2f} MB per 1,000 steps, from {first['resident_mb']:.0f} MB (least squares of "
            f"{len(memory)} measurements)."
        )
    return text


def title(method: str) -> str:
    """Returns the title of a recipe's method."""
    return RECIPES[method].method.title


def _threads(count: int) -> str:
    return f"{count} thread{'s' * (count > 1)}"
