"""How fast the compiled steps are, beside the same steps in PyTorch and in stock Flax, in tables and figures.

Run:       python experiments/benchmark.py                 (PyTorch's columns: pip install -e '.[imperative]')
           python experiments/benchmark.py --cases dcgan   (one of vanilla_gan, dcgan, wgan, vae; default all)
           python experiments/benchmark.py --cases --no-scaling --starts 0     (only what the loop costs, 20 s)
Time:      14 min on two CPU cores with --repeats 5 --seconds 0.8 --starts 2, longer without; of such a run are the
           figures, on a day when memory was slow
Expect:    times the steps a second of eager PyTorch, on one thread and on two (in brackets: at least required): vanilla
           GAN 3.65 and 3.64 (3); DCGAN 1.61 and 1.90 (1.5 and 1.3); WGAN-GP 1.73 and 1.76 (1.5); VAE 1.72 and 1.87
           (2); each moves by a tenth from run to run and more from machine to machine. DCGAN from stock Flax layers 13
           and 15 (8). Between calls the loop takes 0.36 % of a call (at most 1 %), and 10,000 steps leave memory flat.
           The first training step 4.6 to 9.7 s after the command is typed (at most 8 are required), 2.9 to 6.2 s once
           the compilation cache is warm (at most 5)
Writes:    runs/benchmark/benchmark.md, benchmark.json, benchmark.png, scaling.png

All competitors of a comparison live in one process and take turns, a second each, so that whatever else the machine
does hits them alike; a ratio is taken within each turn, and the median of the ratios is reported. How many threads a
process has is settled when it starts: each number of threads gets its own, confined to as many CPUs.

Taking turns does not help where another program holds one of those CPUs: threads that wait for each other by spinning,
as PyTorch's do, then slow down tenfold and more, those of XLA far less. What others took of the CPUs is therefore
measured in each turn, and a comparison that was crowded is not judged.
"""

import json
import math
import multiprocessing
import os
import statistics
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import tyro
from benchmarking import overhead, report, scaling, verdicts
from benchmarking.competitors import CASES, FRONT_END, OURS, PEAK_SIZE, competitors, matrix_products
from benchmarking.machine import about
from benchmarking.processors import confined, cpus
from benchmarking.rates import in_words
from benchmarking.starts import start_times
from benchmarking.turns import Run, take_turns

from jaxgan import data
from jaxgan.errors import UserError, one_line_errors, parse, unknown_choice
from jaxgan.runtime.devices import select_devices

OVERHEAD_LIMIT = 0.01  # of a call of the program, for what the host does between two
START_LIMITS = {"cold": 8.0, "warm": 5.0}  # seconds from the command to the first step

Results = dict[str, Any]  # plain data, what benchmark.json holds; see `run`


@dataclass(frozen=True)
class Options:
    """Times the compiled steps of this package beside PyTorch's, and writes tables and figures."""

    cases: tuple[str, ...] = tuple(CASES)  # which comparisons to make
    scaling: bool = True  # whether to measure a DCGAN step against batch, width, devices, on the first of --threads
    threads: tuple[int, ...] = (1, 2)  # numbers of CPU threads to compare on, a fresh process each
    overhead: bool = True  # whether to measure what the loop costs between calls, and its memory over 10,000 steps
    roofline: Path = Path("runs/compile_for/compile_for.json")  # what compile_for.py found; shown if it is there
    repeats: int = 7  # turns of every competitor
    seconds: float = 1.0  # length of a turn
    starts: int = 3  # times to measure the time to the first step, cold and warm; 0 leaves it out
    data_dir: Path | None = None  # folder of prepared TFDS data sets; None: TFDS_DATA_DIR or ~/tensorflow_datasets
    platform: str = "auto"  # auto, cpu, gpu or tpu
    out: Path = Path("runs/benchmark")  # folder for the tables, the numbers and the figures
    require: bool = False  # end with exit code 1 if a ratio is below what is required


def compare(name: str, threads: int, options: Options) -> Results:
    """Makes one comparison; this is what a fresh process does.

    Args:
      name: which case.
      threads: how many threads the process is confined to.
      options: how long, and on what.

    Returns:
      Its part of the results.
    """
    case = CASES[name]
    if case.spread:
        jax.config.update("jax_num_cpu_devices", threads)  # of no effect where there is a GPU or TPU to choose
    present = select_devices(platform=options.platform, batch_size=case.config.run.batch_size)
    devices = present if case.spread and present[0].platform == "cpu" else present[:1]
    dataset = data.load(case.config.run.data, data_dir=options.data_dir)
    products = matrix_products(devices[0], threads=threads)
    trains, reasons = competitors(case, dataset, devices=devices)
    rates, others = take_turns(trains, repeats=options.repeats, seconds=options.seconds)
    image_shape, batch_size = dataset.images.shape[1:], case.config.run.batch_size
    return {
        "case": name,
        "threads": threads,
        "device": devices[0].device_kind + f", {OURS} under {FRONT_END} on {len(devices)} of them" * (len(devices) > 1),
        "flops": case.flops(case.config.method, image_shape=image_shape, batch_size=batch_size),
        "rates": rates,
        "others": others,
        "absent": reasons,
        "peak_gflops": peak_gflops(products, options),
    }


def scale(threads: int, options: Options) -> Results:
    """Measures how the cost of a step grows; this is what a fresh process does.

    Args:
      threads: how many threads the process is confined to.
      options: how long, and on what.

    Returns:
      Its part of the results.
    """
    (device,) = select_devices(platform=options.platform, count=1)
    dataset = data.load(CASES[scaling.CASE].config.run.data, data_dir=options.data_dir)
    products = matrix_products(device, threads=threads)
    turns = {"repeats": min(options.repeats, 3), "seconds": options.seconds}
    measured = [scaling.measure(*point, dataset, device=device, **turns) for point in scaling.points()]
    return {
        "case": scaling.CASE,
        "threads": threads,
        "device": device.device_kind,
        "points": measured,
        "peak_gflops": peak_gflops(products, options),
    }


def scale_over_devices(threads: int, options: Options) -> Results:
    """Measures how the cost of a step changes with the number of devices; this is what a fresh process does.

    Args:
      threads: how many threads the process is confined to; CPU devices share them.
      options: how long, and on what.

    Returns:
      Its part of the results.
    """
    jax.config.update("jax_num_cpu_devices", max(scaling.DEVICES))  # of no effect where there is a GPU or TPU to choose
    present = select_devices(platform=options.platform, batch_size=CASES[scaling.CASE].config.run.batch_size)
    dataset = data.load(CASES[scaling.CASE].config.run.data, data_dir=options.data_dir)
    measured = scaling.over_devices(present, dataset, repeats=min(options.repeats, 3), seconds=options.seconds)
    return {"forced": present[0].platform == "cpu", "points": measured}


def train_watched(threads: int, options: Options) -> Results:
    """Measures what the training loop costs, and its memory; this is what a fresh process does."""
    (device,) = select_devices(platform=options.platform, count=1)
    config = CASES[overhead.CASE].config
    dataset = data.load(config.run.data, data_dir=options.data_dir)
    found = overhead.measure(config, dataset, [device], steps=overhead.STEPS)
    return {"case": overhead.CASE, "threads": threads, "device": device.device_kind, **found}


def peak_gflops(products: Mapping[str, Run], options: Options) -> float:
    """Measures the fastest product of two large matrices, in GFLOP/s: the peak that steps are held against."""
    rates, _ = take_turns(products, repeats=options.repeats, seconds=options.seconds / 4)
    return max(2e-9 * PEAK_SIZE**3 * statistics.median(turns) for turns in rates.values())


def apart(measure: Callable[..., Results], *args: Any, threads: int, options: Options) -> Results:
    """Calls a function in a fresh process that has so many threads."""
    context = multiprocessing.get_context("spawn")
    with confined(threads), ProcessPoolExecutor(1, mp_context=context) as process:
        return process.submit(measure, *args, threads, options).result()


def check(options: Options) -> None:
    """Raises UserError for the first field that is out of bounds."""
    for name in options.cases:
        if name not in CASES:
            raise unknown_choice("--cases", name, CASES)
    most = len(cpus())
    if not options.threads:
        raise UserError("--threads: none given, name at least one number of threads")
    for threads in options.threads:
        if not 1 <= threads <= most:
            raise UserError(f"--threads: {threads} is not allowed, it must be between 1 and the {most} CPUs available")
    for flag, value, least in (("repeats", options.repeats, 1), ("starts", options.starts, 0)):
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


def run(options: Options) -> Results:
    """Measures everything.

    Args:
      options: validated.

    Returns:
      ``about`` (texts), ``comparisons`` (see :func:`compare`), ``scaling`` (see :func:`scale`; None if left out),
      ``overhead`` (see :func:`overhead.measure`; None if left out) and ``starts`` (seconds, cold and warm).
    """
    data.load("mnist", data_dir=options.data_dir)  # prepared before any clock starts
    comparisons, grown, looped = [], None, None
    for name in options.cases:
        for threads in options.threads:
            print(f"{name}, {in_words(threads)} ...", flush=True)
            comparisons.append(apart(compare, name, threads=threads, options=options))
    if options.scaling:
        print(f"{scaling.CASE} at other sizes, {in_words(options.threads[0])} ...", flush=True)
        grown = apart(scale, threads=options.threads[0], options=options)
        grown["devices"] = apart(scale_over_devices, threads=options.threads[0], options=options)
        grown["roofline"] = json.loads(options.roofline.read_text()) if options.roofline.exists() else None
    if options.overhead:
        print(f"{overhead.STEPS:,} steps of {overhead.CASE} ...", flush=True)
        looped = apart(train_watched, threads=options.threads[0], options=options)
    if options.starts:
        print("time to the first step ...", flush=True)
    flags = ["--platform", options.platform, *(["--data-dir", str(options.data_dir)] if options.data_dir else [])]
    return {
        "about": about(threads=options.threads, repeats=options.repeats, seconds=options.seconds),
        "comparisons": comparisons,
        "scaling": grown,
        "overhead": looped,
        "starts": start_times(Path(__file__).with_name("vanilla_gan.py"), repeats=options.starts, flags=flags),
    }


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the benchmark as a command."""
    with one_line_errors("benchmark"):
        options = parse(lambda: tyro.cli(Options, args=argv, prog="benchmark"))
        check(options)
        results = run(options)
        required = {name: case.required for name, case in CASES.items()}
        ratios, starts = verdicts.verdicts(results, required=required, ours=OURS, start_limits=START_LIMITS)
        found = (*ratios, *starts, *verdicts.loop_verdicts(results["overhead"], most=OVERHEAD_LIMIT))
        files = report.write(results, found, ours=OURS, out=options.out)
    print(files[0].read_text(), *files, sep="\n")
    if options.require and not all(verdict.met for verdict in ratios):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
