"""The benchmark's report: one speed table, one figure, and folded details."""

import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from studies import figures
from studies.markdown import details, document, number, table
from studies.speed.programs import JAXGAN, PROGRAMS, RECIPES
from studies.speed.starts import MEMORY_STEPS
from studies.speed.timing import crowding, relative

from jaxgan import figures as package_figures

Results = Mapping[str, Any]  # what numbers.json holds; see `benchmark.run`
CROWDED = 0.1  # CPUs taken by other programs above which a rate is marked
MARK = "†"


def write(results: Results, *, out: Path) -> list[Path]:
    """Writes the report, its numbers and its figures into an existing folder, and lists the files."""
    files = [out / "report.md", out / "numbers.json"]
    files[0].write_text(markdown(results), encoding="utf-8")
    files[1].write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    panels = {f"{_title(found)}, {_threads(found['threads'])}": found["rates"] for found in results["speeds"]}
    if panels:
        columns = len({found["threads"] for found in results["speeds"]})
        picture = figures.speeds(panels, reference=JAXGAN, columns=columns, title="Training steps per second")
        files.append(package_figures.save(picture, out / "speed.png"))
    return files


def markdown(results: Results) -> str:
    """Writes the report as Markdown."""
    blocks = ["# Speed of the same training steps", results["machine"] + f"; `{results['command']}`"]
    if results["speeds"]:
        blocks += [_introduction(results), speed_table(results["speeds"], results["starts"])]
        blocks += ["![Training steps per second](speed.png)", details("Every rate", rates_table(results["speeds"]))]
    if results["scaling"]:
        blocks.append(details("A DCGAN step at other sizes", _scaling(results["scaling"])))
    if results["loop"]:
        blocks.append(details("The training loop and its memory", _loop(results["loop"])))
    return document(*blocks)


def _introduction(results: Results) -> str:
    text = (
        f"Programs of one method run in one process and take turns: {results['interleaved']}. Each cell is the median "
        f"rate; in parentheses how many times as fast {JAXGAN} is, the median of the ratios within a turn. {MARK}: "
        f"other programs used more than {CROWDED:g} CPUs meanwhile. All devices: on CPU one per thread. PyTorch tuned: "
        "fused Adam, no unused gradients, channels last; torch.compile has them too."
    )
    if results["starts"]:
        text += (
            " First step: seconds from the start of the script, with an empty cache of compiled programs (cold) and "
            f"with that of the run before (warm). Memory: the most that was resident up to step {MEMORY_STEPS} of a "
            "cold start. Both on the first number of threads, torch.compile without the tuning."
        )
    return text


def speed_table(speeds: Sequence[Results], starts: Mapping[str, Any]) -> str:
    """Writes the table: a row per method and program, a column per number of threads, then starts and memory."""
    threads = sorted({found["threads"] for found in speeds})
    cells = {(found["method"], found["threads"]): found for found in speeds}
    header = ["method", "program", *(f"steps/s, {_threads(n)}" for n in threads)]
    header += ["first step, s: cold", "warm", "peak memory, MB"] if starts else []
    rows = []
    for method in dict.fromkeys(found["method"] for found in speeds):
        for program in PROGRAMS:
            row = [_rate(cells.get((method, n)), program) for n in threads]
            if any(row):
                seen = starts.get(method, {}).get(program)
                rows.append([RECIPES[method].method.title, program, *row, *(_starts(seen) if starts else ())])
    return table(header, rows, "ll" + "r" * (len(header) - 2))


def _rate(found: Results | None, program: str) -> str:
    """A cell of the table: the rate and the ratio, or why there is none."""
    if found is None or program in found["absent"]:
        return found["absent"][program] if found else ""
    if program not in found["rates"]:
        return ""
    rates = found["rates"][program]
    mark = MARK * (crowding(found["others"][program]) > CROWDED)
    ratio = "" if program == JAXGAN else f" ({relative(found['rates'][JAXGAN], rates):.2f})"
    return number(statistics.median(rates)) + ratio + mark


def _starts(seen: Results | None) -> list[str]:
    if seen is None:
        return ["", "", ""]
    peak = "unknown" if None in seen["peak_bytes"] else f"{max(seen['peak_bytes']) / 1e6:,.0f}"
    return [*(f"{statistics.median(seen[kind]):.1f}" for kind in ("cold", "warm")), peak]


def rates_table(speeds: Sequence[Results]) -> str:
    """Writes the median, slowest and fastest turn of every program, and the CPUs that others took."""
    rows = [
        [
            *(_title(found), found["threads"], program, number(statistics.median(rates))),
            *(f"{number(min(rates))} to {number(max(rates))}", f"{crowding(found['others'][program]):.2f}"),
        ]
        for found in speeds
        for program, rates in found["rates"].items()
    ]
    header = ["method", "threads", "program", "steps/s, median", "slowest to fastest turn", "CPUs taken by others"]
    return table(header, rows, "lrlrrr")


def _scaling(scaling: Results) -> str:
    peak, rows = scaling["peak_gflops"], []
    for point in scaling["sizes"]:
        for program, rates in point["rates"].items():
            rate = statistics.median(rates)
            speed = rate * point["flops"] / 1e9
            ratio = "" if program == JAXGAN else f"{relative(point['rates'][JAXGAN], rates):.2f}"
            size = [point["batch_size"], point["width"], number(point["flops"] / 1e9), program]
            rows.append([*size, number(1e3 / rate), number(speed), f"{speed / peak:.0%}", ratio])
    header = ["batch size", "width", "GFLOP per step", "program", "ms per step", "GFLOP/s", "of the peak"]
    return document(
        f"On {_threads(scaling['threads'])} of {scaling['device']}. The peak is a product of large matrices, "
        f"{peak:.0f} GFLOP/s. XLA counts the operations of a step.",
        table([*header, f"times {JAXGAN}'s ms"], rows, "rrrlrrrr"),
    )


def _loop(loop: Results) -> str:
    rows = []
    for row in loop["memory"]:
        resident = "unknown" if row["resident"] is None else f"{row['resident'] / 1e6:,.1f}"
        rows.append([f"{row['step']:,}", row["arrays"], f"{row['bytes'] / 1e6:,.3f}", resident])
    outside = sum(loop["host"]) / (sum(loop["calls"]) + sum(loop["host"]))
    return document(
        f"{RECIPES[loop['method']].method.title}, {loop['steps']:,} steps: a call of the compiled program takes "
        f"{statistics.median(loop['calls']) * 1e3:.0f} ms and the loop {statistics.median(loop['host']) * 1e3:.2f} ms "
        f"after it (medians). With rows of metrics and samples, {outside:.1%} of the time lies outside calls; "
        "checkpoints are written in the background.",
        table(["step", "arrays", "their MB", "the process's MB"], rows, "rrrr"),
    )


def _title(found: Results) -> str:
    return RECIPES[found["method"]].method.title


def _threads(count: int) -> str:
    return f"{count} thread{'s' * (count > 1)}"
