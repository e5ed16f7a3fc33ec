"""Steps per second, time to the first step, and memory."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from benchmarking.competitors import CASES, COMPILED, EAGER, OURS, TWINS, competitors
from benchmarking.turns import Run, take_turns

from comparing import starts
from comparing.designs import DESIGNS, FUNCTIONAL, NNX, PYTORCH, Row, designs_of
from comparing.options import Options
from comparing.processes import apart
from jaxgan import data
from jaxgan.config import Config
from jaxgan.data import Dataset

NAMES = {OURS: FUNCTIONAL, EAGER: PYTORCH}  # what this report calls competitors of the benchmark
CROWDED = 0.1  # CPUs taken by other programs beyond which the report says so
WARM_UP = 3  # steps

Measured = dict[str, Any]


def measure(options: Options) -> Measured:
    """Times every method in every design.

    Args:
      options: which methods, how long, and on how many threads.

    Returns:
      ``turns`` by method (see :func:`compare`), and ``starts`` (see :func:`starts.measure`).
    """
    turns = {method: apart(compare, method, options, threads=options.threads) for method in options.methods}
    compiled = [method for method, found in turns.items() if COMPILED in found["rates"]]
    return {"threads": options.threads, "turns": turns, "starts": starts.measure(options, compiled=compiled)}


def compare(method: str, options: Options, *, twins: Mapping[str, Mapping[str, bool]] = TWINS) -> Measured:
    """Times one method in turns; this is what a fresh process does.

    Args:
      method: what trains.
      options: how long, on what, and on how many threads.
      twins: which ways of using PyTorch take part.

    Returns:
      ``rates`` (steps a second of each turn) and ``others`` (how many of the process's CPUs other programs took) by
      competitor, and ``absent`` (why, by competitor).
    """
    import torch

    torch.set_num_threads(options.threads)
    case = CASES[method]._replace(rivals={})
    dataset = data.load(case.config.run.data, data_dir=options.data_dir)
    trains, absent = competitors(case, dataset, devices=jax.devices()[:1], twins=twins)
    if NNX in designs_of(method):
        trains[NNX] = in_nnx(case.config, dataset)
    rates, others = take_turns(trains, repeats=options.repeats, seconds=options.seconds)
    return {
        "rates": {NAMES.get(name, name): turns for name, turns in rates.items()},
        "others": {NAMES.get(name, name): turns for name, turns in others.items()},
        "absent": absent,
    }


def in_nnx(config: Config, dataset: Dataset) -> Run:
    """Makes the function that trains the NNX twin of a method, as its own loop does, and warms it up."""
    from imperative.nnx_dcgan import DCGAN
    from imperative.nnx_training import batch
    from imperative.nnx_vanilla_gan import VanillaGAN

    twin = {"vanilla_gan": VanillaGAN, "dcgan": DCGAN}[config.kind]()
    images, size = np.asarray(dataset.images), config.run.batch_size
    steps_per_epoch, shuffler = len(images) // size, np.random.default_rng(0)

    def run(count: int) -> None:
        order, sums = shuffler.permutation(len(images)), None
        for i in range(count):
            start = i % steps_per_epoch * size
            metrics = twin.train_step(batch(images, order[start : start + size]))
            sums = metrics if sums is None else {name: sums[name] + value for name, value in metrics.items()}
        jax.block_until_ready(sums)

    run(WARM_UP)
    return run


def section(measured: Measured) -> str:
    """Writes what was found as Markdown."""
    threads = measured["threads"]
    lines = [
        "## Speed and memory",
        "",
        f"Steps per second on {threads} thread{'s' * (threads > 1)}: all programs of a method live in one process and "
        "take turns. How many times as fast the functional one is: the median of the ratios within each turn.",
        "",
        f"| method | program | steps/s, median | slowest to fastest turn | {FUNCTIONAL} is faster by |",
        "|---|---|---:|---:|---:|",
    ]
    for method, found in measured["turns"].items():
        for name, rates in found["rates"].items():
            spread = f"{_short(min(rates))} to {_short(max(rates))}"
            times = f"{_ratio(found['rates'][FUNCTIONAL], rates):.2f}"
            note = " (CPUs shared with other programs)" * (crowding(found["others"][name]) > CROWDED)
            lines.append(f"| {method} | {name}{note} | {_short(statistics.median(rates))} | {spread} | {times} |")
        lines += [f"| {method} | {name} | {reason} | | |" for name, reason in found["absent"].items()]
    lines += ["", "![Steps per second](speed.png)"]
    if measured["starts"]:
        lines += [
            "",
            "Seconds from typing the command of the script to its first training step, in a fresh process: with an "
            "empty cache of compiled programs, and with what the run before left in it (eager PyTorch compiles "
            "nothing, and its two numbers show the spread). The sign of the first step is what the script writes "
            "after it, a row of metrics or a checkpoint. Peak memory: the most that was resident in the cold process "
            f"up to step {starts.MEMORY_STEPS}, MNIST, Python and all libraries included; the functional command "
            "imports PyTorch too, through its TensorBoard writer, where that is installed.",
            "",
            "| method | program | cold, s | warm, s | peak memory, MB |",
            "|---|---|---:|---:|---:|",
        ]
        for method, designs in measured["starts"].items():
            for name, kinds in designs.items():
                cells = [f"{statistics.median(kinds[kind]):.1f}" for kind in ("cold", "warm")]
                lines.append(f"| {method} | {name} | {' | '.join(cells)} | {_megabytes(kinds['peak_bytes'])} |")
    return "\n".join([*lines, ""])


def summary(measured: Measured) -> list[Row]:
    """Answers how fast and how large each design is, by method."""
    rows = []
    for method, found in measured["turns"].items():
        rates = {name: statistics.median(turns) for name, turns in found["rates"].items()}
        cells = {design: _short(rates[design]) for design in DESIGNS if design in rates}
        others = {name: rate for name, rate in rates.items() if name not in DESIGNS}
        if others and rates[best := max(others, key=others.get)] > rates[PYTORCH]:
            cells[PYTORCH] += f" ({best}: {_short(rates[best])})"
        rows.append(Row(f"{method}: steps per second?", *(cells.get(design, "") for design in DESIGNS)))
    if measured["starts"]:
        every = [
            [designs[design] for designs in measured["starts"].values() if design in designs] for design in DESIGNS
        ]
        for kind in ("cold", "warm"):
            cells = [_range([statistics.median(each[kind]) for each in some]) for some in every]
            rows.append(Row(f"From typing the command to the first step, {kind}, s?", *cells))
        peaks = [[max(each["peak_bytes"]) / 1e6 for each in some if None not in each["peak_bytes"]] for some in every]
        rows.append(Row("Peak memory, MB?", *(_range(some, digits=0) for some in peaks)))
    return rows


def crowding(others: Sequence[float | None]) -> float:
    """How many of its CPUs other programs took in the median turn; 0 where the system does not tell."""
    known = [taken for taken in others if taken is not None]
    return statistics.median(known) if known else 0.0


def _ratio(rates: Sequence[float], others: Sequence[float]) -> float:
    return statistics.median(a / b for a, b in zip(rates, others, strict=True))


def _short(rate: float) -> str:
    return f"{rate:,.0f}" if rate >= 100 else f"{rate:.3g}"


def _range(values: Sequence[float], *, digits: int = 1) -> str:
    if not values:
        return ""
    least, most = (f"{value:,.{digits}f}" for value in (min(values), max(values)))
    return least if least == most else f"{least} to {most}"


def _megabytes(peaks: Sequence[int | None]) -> str:
    return "unknown" if None in peaks else f"{max(peaks) / 1e6:,.0f}"
