"""How fast the compiled steps are, beside the same steps in PyTorch, in Flax NNX and from stock Flax layers.

Run:       python experiments/studies/speed/benchmark.py      (PyTorch: pip install -e '.[imperative]')
           python experiments/studies/speed/benchmark.py --methods dcgan --threads 1 --starts 0 --batch-sizes --widths
                                                              (one method; an empty list leaves a part out)
Time:      30 min on two CPU cores
Writes:    runs/speed/ with report.md, numbers.json and speed.png

Every method has a process per number of threads, confined to as many CPUs. Its programs take turns there, a second
each, so that other load on the machine hits all of them alike. A ratio is taken within each turn; the report shows the
median. Threads that wait for each other by spinning, as PyTorch's do, slow down far more than XLA's when another
program takes a CPU. So each turn also measures what others took, and the report marks such rates.
"""

import math
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import tyro

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # experiments/

from studies import machine
from studies.speed import loop, report, scaling, starts
from studies.speed.processes import in_fresh_process
from studies.speed.programs import RECIPES, programs
from studies.speed.timing import interleaved

from jaxgan import data
from jaxgan.errors import UserError, one_line_errors, parse, unknown_choice
from jaxgan.runtime.devices import select_devices

LOOP = "vanilla_gan"  # the recipe with the shortest steps


@dataclass(frozen=True)
class Options:
    """Times the compiled steps of this package beside those of PyTorch and Flax, and writes a report."""

    methods: tuple[str, ...] = tuple(RECIPES)  # which recipes to time
    threads: tuple[int, ...] = (1, 2)  # numbers of CPU threads, a fresh process each
    repeats: int = 7  # turns of each program
    seconds: float = 1.0  # length of a turn
    starts: int = 3  # cold and warm starts of each script; 0: none
    batch_sizes: tuple[int, ...] = (16, 64, 256, 1024)  # of a DCGAN step; none: leave them out
    widths: tuple[int, ...] = (16, 32, 64, 128)  # of a DCGAN step; none: leave them out
    loop_steps: int = 10_000  # steps to measure the training loop over; 0: leave it out
    data_dir: Path | None = None  # folder of prepared TFDS data sets; None: TFDS_DATA_DIR or ~/tensorflow_datasets
    platform: str = "auto"  # auto, cpu, gpu or tpu
    out: Path = Path("runs/speed")  # folder of the report, its numbers and its figures


def run(options: Options) -> dict[str, Any]:
    """Measures everything.

    Args:
      options: checked.

    Returns:
      ``machine``, ``command`` and ``interleaved`` (texts), ``speeds`` (see :func:`time_method`), ``starts`` (see
      :func:`starts.measure`), ``scaling`` (see :func:`time_sizes`) and ``loop`` (see :func:`loop.measure`); an empty
      value for what was left out.
    """
    data.load("mnist", data_dir=options.data_dir)  # prepared before any clock starts
    speeds = []
    for method in options.methods:
        for threads in options.threads:
            print(f"{method}, {threads} threads ...", flush=True)
            speeds.append(in_fresh_process(time_method, method, threads, options, threads=threads))
    threads = options.threads[0]
    found: dict[str, Any] = {"speeds": speeds, "starts": {}, "scaling": {}, "loop": {}}
    if options.starts:
        print("first steps ...", flush=True)
        measured = {one["method"]: tuple(one["rates"]) for one in reversed(speeds)}
        found["starts"] = starts.measure(measured, repeats=options.starts, threads=threads, data_dir=options.data_dir)
    if options.batch_sizes or options.widths:
        print("a DCGAN step at other sizes ...", flush=True)
        found["scaling"] = in_fresh_process(time_sizes, threads, options, threads=threads)
    if options.loop_steps:
        print("the training loop ...", flush=True)
        found["loop"] = in_fresh_process(time_loop, options, threads=threads)
    turns = f"{options.repeats} turns of {options.seconds:g} s"
    return {"machine": machine.describe(), "command": machine.command(), "interleaved": turns, **found}


def time_method(method: str, threads: int, options: Options) -> dict[str, Any]:
    """Times every program that trains a method; a fresh process calls this.

    Returns:
      ``method``, ``threads``, ``device``, ``rates`` and ``others`` (see :func:`interleaved`), and ``absent`` (reasons,
      by program).
    """
    jax.config.update("jax_num_cpu_devices", threads)  # without effect where there is a GPU or TPU
    use_threads(threads)
    config = RECIPES[method]
    devices = select_devices(platform=options.platform, batch_size=config.run.batch_size)
    dataset = data.load(config.run.data, data_dir=options.data_dir)
    trains, absent = programs(method, config, dataset, devices)
    times = interleaved(trains, repeats=options.repeats, seconds=options.seconds)
    return {"method": method, "threads": threads, "device": devices[0].device_kind, "absent": absent, **times}


def time_sizes(threads: int, options: Options) -> dict[str, Any]:
    """Times a DCGAN step over batch sizes and widths; a fresh process calls this."""
    use_threads(threads)
    (device,) = select_devices(platform=options.platform, count=1)
    dataset = data.load(RECIPES[scaling.RECIPE].run.data, data_dir=options.data_dir)
    how = {"repeats": min(options.repeats, 3), "seconds": options.seconds}
    pairs = scaling.sizes(options.batch_sizes, options.widths)
    return {
        "threads": threads,
        "device": device.device_kind,
        "peak_gflops": scaling.peak_gflops(device, **how),
        "sizes": scaling.measure(pairs, dataset, device, **how),
    }


def time_loop(options: Options) -> dict[str, Any]:
    """Measures what the training loop costs, and its memory; a fresh process calls this."""
    (device,) = select_devices(platform=options.platform, count=1)
    dataset = data.load(RECIPES[LOOP].run.data, data_dir=options.data_dir)
    every = max(1, min(1000, options.loop_steps // 3))
    return {"method": LOOP} | loop.measure(
        RECIPES[LOOP], dataset, [device], steps=options.loop_steps, memory_every=every
    )


def use_threads(threads: int) -> None:
    """Tells PyTorch, if it is installed, how many threads it has."""
    try:
        import torch
    except ImportError:
        return
    torch.set_num_threads(threads)


def check(options: Options) -> None:
    """Raises UserError for the first option out of bounds, and makes the folder of the report."""
    for name in options.methods:
        if name not in RECIPES:
            raise unknown_choice("--methods", name, RECIPES)
    most = len(machine.cpus())
    if not options.threads:
        raise UserError("--threads: none given, name at least one number of threads")
    for threads in options.threads:
        if not 1 <= threads <= most:
            raise UserError(f"--threads: {threads} is not allowed, it must be between 1 and the {most} CPUs available")
    for flag, values, least in (
        ("repeats", (options.repeats,), 1),
        ("starts", (options.starts,), 0),
        ("loop-steps", (options.loop_steps,), 0),
        ("batch-sizes", options.batch_sizes, 1),
        ("widths", options.widths, 1),
    ):
        for value in values:
            if value < least:
                raise UserError(f"--{flag}: {value} is not allowed, it must be at least {least}")
    if not 0 < options.seconds < math.inf:
        raise UserError(f"--seconds: {options.seconds} is not allowed, it must be positive")
    try:
        options.out.mkdir(parents=True, exist_ok=True)
        if not os.access(options.out, os.W_OK):
            raise PermissionError(13, "Permission denied")
    except OSError as error:
        raise UserError(f"--out: {str(options.out)!r} cannot be written ({error.strerror})") from error


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the benchmark as a command."""
    with one_line_errors("benchmark"):
        options = parse(lambda: tyro.cli(Options, args=argv, prog="benchmark"))
        check(options)
        files = report.write(run(options), out=options.out)
    print(files[0].read_text(), *files, sep="\n")


if __name__ == "__main__":
    main()
