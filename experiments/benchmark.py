"""How fast the compiled steps are, beside the same steps in PyTorch, in one table and one figure.

Run:       python experiments/benchmark.py                 (PyTorch's columns: pip install -e '.[imperative]')
Time:      about 3 minutes on two CPU cores
Expect:    at least 3 times the steps a second of eager PyTorch, on one thread and on two; the first training step at
           most 8 s after the command is typed, 5 s once the compilation cache is warm
Writes:    runs/benchmark/benchmark.md, benchmark.json, benchmark.png

All competitors of a comparison live in one process and take turns, a second each, so that whatever else the machine
does hits them alike; a ratio is taken within each turn, and the median of the ratios is reported. How many threads a
process has is settled when it starts: each number of threads gets its own, confined to as many CPUs.

Taking turns does not help where another program holds one of those CPUs: threads that wait for each other by spinning,
as PyTorch's do, then slow down tenfold and more, those of XLA far less. What others took of the CPUs is therefore
measured in each turn, and a comparison that was crowded is not judged.
"""

import contextlib
import datetime
import importlib.metadata
import math
import multiprocessing
import os
import platform
import shlex
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import tyro

from jaxgan import data, methods
from jaxgan.config import Config, VanillaGAN
from jaxgan.data.order import epoch_order
from jaxgan.errors import UserError, one_line_errors, parse
from jaxgan.runtime.devices import select_devices
from jaxgan.runtime.program import Inputs, compile_program

OURS, EAGER, TUNED, COMPILED = "jaxgan", "PyTorch eager", "PyTorch eager, tuned", "PyTorch torch.compile, tuned"
TWINS = {EAGER: {}, TUNED: {"tuned": True}, COMPILED: {"tuned": True, "compiled": True}}
PEAK_SIZE = 1024  # rows of the square matrices whose product sets the peak
START_LIMITS = {"cold": 8.0, "warm": 5.0}  # seconds from the command to the first step
START_TIMEOUT = 120.0
EXPERIMENTS = Path(__file__).parent

Results = dict[str, Any]  # plain data, what benchmark.json holds; see `run`


@dataclass(frozen=True)
class Options:
    """Times the compiled steps of this package beside PyTorch's, and writes a table and a figure."""

    threads: tuple[int, ...] = (1, 2)  # numbers of CPU threads to compare on, a fresh process each
    repeats: int = 7  # turns of every competitor
    seconds: float = 1.0  # length of a turn
    starts: int = 3  # times to measure the time to the first step, cold and warm; 0 leaves it out
    data_dir: Path | None = None  # folder of prepared TFDS data sets; None: TFDS_DATA_DIR or ~/tensorflow_datasets
    platform: str = "auto"  # auto, cpu, gpu or tpu
    out: Path = Path("runs/benchmark")  # folder for the table, the numbers and the figure
    require: bool = False  # end with exit code 1 if a ratio is below what is required


class Case(NamedTuple):
    """One comparison: a method, its twin, the count of its arithmetic, and what is required of it."""

    config: Config
    twin: str  # function of benchmark_torch.py
    flops: Callable[..., float]  # from (method, pixels=, batch_size=)
    required: Mapping[str, float]  # least ratio of steps per second, by competitor


def vanilla_gan_flops(method: VanillaGAN, *, pixels: int, batch_size: int) -> float:
    """Counts the floating-point operations of a step's matrix products; all else is of lower order.

    A dense layer from n to m units multiplies and adds nm times an example in its forward pass, nm times for the
    gradient of its weights, and nm times for that of its input, which the first layer of a chain does not need.

    Args:
      method: the method.
      pixels: numbers in an image.
      batch_size: images in a step.

    Returns:
      The count; a multiplication and an addition are two.
    """
    hidden = (method.hidden_units,) * method.hidden_layers
    generator = [n * m for n, m in pairwise((method.latent_size, *hidden, pixels))]
    discriminator = [n * m for n, m in pairwise((pixels, *hidden, 1))]
    g, d = sum(generator), sum(discriminator)
    discriminator_update = g + 2 * d + 2 * d + 2 * (d - discriminator[0])  # forward; weights and inputs of two batches
    generator_update = g + d + d + g + (g - generator[0])  # forward; through the discriminator; weights and inputs
    return 2.0 * batch_size * (discriminator_update + generator_update)


CASES = {"vanilla_gan": Case(Config(VanillaGAN()), "vanilla_gan", vanilla_gan_flops, {EAGER: 3.0})}

Run = Callable[[int], None]  # trains for so many steps and waits for the last


def compiled_program(case: Case, dataset: data.Dataset, device: jax.Device) -> Run:
    """Makes this package's competitor: the very program that `jaxgan.runtime.loop` drives."""
    config, image_shape = case.config, dataset.images.shape[1:]
    program = compile_program(
        lambda axis_name: methods.build(config.method, image_shape=image_shape, axis_name=axis_name),
        [device],
        image_shape=image_shape,
        batch_size=config.run.batch_size,
    )
    seed = jax.device_put(np.uint32(config.run.seed), device)
    images, labels = (jax.device_put(np.asarray(x), device) for x in (dataset.images, dataset.labels))
    carry, epoch = program.init(seed), 0

    def run(count: int) -> None:
        nonlocal carry, epoch
        order = jax.device_put(epoch_order(len(images), seed=config.run.seed, epoch=epoch), device)
        stop = np.int32(int(carry.state.step) + count)
        carry = jax.block_until_ready(program.advance(carry, Inputs(images, labels, order, seed, stop, np.bool_(True))))
        epoch += 1
        if int(carry.state.step) != stop:
            raise RuntimeError(f"the program stopped at step {carry.state.step} of {stop}")

    run(20)
    return run


def matrix_product(size: int, *, device: jax.Device) -> Run:
    """Makes a function that multiplies two square float32 matrices so many times, for the peak of the machine."""
    x, y = jax.device_put(np.random.default_rng(0).standard_normal((2, size, size), np.float32), device)
    product = jax.jit(jnp.matmul)

    def run(count: int) -> None:
        for _ in range(count):
            z = product(x, y)
        jax.block_until_ready(z)

    run(1)
    return run


def torch_device(jax_platform: str) -> tuple[str | None, str]:
    """Finds where PyTorch can run beside JAX: (device, "") or (None, why it cannot)."""
    try:
        import torch
    except ImportError:
        return None, "not installed"
    if jax_platform == "cpu":
        return "cpu", ""
    if jax_platform == "gpu" and torch.cuda.is_available():
        return "cuda", ""
    return None, f"PyTorch has no {jax_platform} here"


def competitors(case: Case, dataset: data.Dataset, *, device: jax.Device, threads: int) -> tuple[dict, dict, dict]:
    """Compiles and warms up everything that is compared.

    Args:
      case: the comparison.
      dataset: the training images.
      device: where JAX runs.
      threads: how many threads PyTorch may use; JAX follows the process.

    Returns:
      The functions that train, by competitor; those that multiply matrices, by library; and for every competitor that
      cannot run here, why.
    """
    trains = {OURS: compiled_program(case, dataset, device)}
    products = {"jax": matrix_product(PEAK_SIZE, device=device)}
    where, reason = torch_device(device.platform)
    if where is None:
        return trains, products, dict.fromkeys(TWINS, reason)
    import benchmark_torch
    import torch

    torch.set_num_threads(threads)
    products["torch"] = benchmark_torch.matrix_product(PEAK_SIZE, device=where)
    twin, reasons = getattr(benchmark_torch, case.twin), {}
    for name, how in TWINS.items():
        if how.get("compiled") and where == "cpu" and not any(map(shutil.which, _compilers())):
            reasons[name] = "no C++ compiler"
            continue
        try:
            trains[name] = twin(
                case.config.method,
                np.asarray(dataset.images),
                batch_size=case.config.run.batch_size,
                device=where,
                **how,
            )
        except Exception as error:  # a compiler that is there and does not work says so in many ways
            if not how.get("compiled"):
                raise
            reasons[name] = f"failed to compile ({type(error).__name__})"
    return trains, products, reasons


def _compilers() -> list[str]:
    return [os.environ["CXX"]] if os.environ.get("CXX") else ["g++", "clang++", "c++", "cl"]


def take_turns(
    runs: Mapping[str, Run], *, repeats: int, seconds: float
) -> tuple[dict[str, list[float]], dict[str, list[float | None]]]:
    """Times functions that do a thing so many times, one after the other, again and again.

    Args:
      runs: the functions, warmed up.
      repeats: turns of each.
      seconds: length of a turn, about.

    Returns:
      By function and turn: things a second; and how many of this process's CPUs other programs took, None if unknown.
    """

    def turn(run: Run, count: int) -> tuple[float, float | None]:
        busy, own, start = _busy_seconds(), time.process_time(), time.perf_counter()
        run(count)
        taken, own = time.perf_counter() - start, time.process_time() - own
        return count / taken, None if busy is None else max(0.0, _busy_seconds() - busy - own) / taken

    counts = {name: max(1, math.ceil(turn(run, 50 if seconds >= 1 else 5)[0] * seconds)) for name, run in runs.items()}
    rates, others = {name: [] for name in runs}, {name: [] for name in runs}
    for _ in range(repeats):
        for name, run in runs.items():
            rate, crowd = turn(run, counts[name])
            rates[name].append(rate)
            others[name].append(crowd)
    return rates, others


def _busy_seconds() -> float | None:
    """Reads how long the CPUs of this process have been busy, for anyone, since the system started; Linux tells."""
    mine = {f"cpu{n}" for n in _cpus()}
    try:
        rows = [line.split() for line in Path("/proc/stat").read_text().splitlines()]
        ticks = sum(
            int(row[i]) for row in rows if row[0] in mine for i in (1, 2, 3, 6, 7, 8)
        )  # neither idle nor waiting
        return ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return None


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
    (device,) = select_devices(platform=options.platform, count=1)
    dataset = data.load(case.config.run.data, data_dir=options.data_dir)
    trains, products, reasons = competitors(case, dataset, device=device, threads=threads)
    rates, others = take_turns(trains, repeats=options.repeats, seconds=options.seconds)
    products, _ = take_turns(products, repeats=options.repeats, seconds=options.seconds / 4)
    flops = case.flops(case.config.method, pixels=dataset.images[0].size, batch_size=case.config.run.batch_size)
    return {
        "case": name,
        "threads": threads,
        "device": device.device_kind,
        "flops": flops,
        "rates": rates,
        "others": others,
        "absent": reasons,
        "peak_gflops": max(2e-9 * PEAK_SIZE**3 * statistics.median(r) for r in products.values()),
    }


@contextlib.contextmanager
def confined(threads: int) -> Iterator[None]:
    """Makes processes started within use so many threads, by CPU affinity where the system has it.

    XLA makes as many threads as it finds CPUs, or as the variable NPROC says, which works everywhere.
    """
    kept, nproc = _cpus(), os.environ.get("NPROC")
    os.environ["NPROC"] = str(threads)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, kept[:threads])
    try:
        yield
    finally:
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, kept)
        os.environ.pop("NPROC") if nproc is None else os.environ.update(NPROC=nproc)


def _cpus() -> list[int]:
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def first_step_seconds(script: Path, *, cache: Path, options: Options) -> float:
    """Measures how long a command takes from being typed to its first training step, in a process and folder apart.

    Args:
      script: an experiment.
      cache: the folder of the compilation cache; empty for a cold start.
      options: where the data lie, and the platform.

    Returns:
      Seconds until the first row of metrics.
    """
    environment = {
        **os.environ,
        "JAX_COMPILATION_CACHE_DIR": str(cache),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",  # as `enable_compilation_cache` has it
    }
    with tempfile.TemporaryDirectory() as folder:
        metrics = Path(folder, "run", "metrics.jsonl")
        flags = ["--epochs", "1", "--log-every", "1", "--workdir", str(metrics.parent), "--platform", options.platform]
        flags += ["--data-dir", str(options.data_dir)] if options.data_dir else []
        log = Path(folder, "log")
        with log.open("w") as output:
            start = time.monotonic()
            process = subprocess.Popen(
                [sys.executable, str(script), *flags], env=environment, stdout=output, stderr=subprocess.STDOUT
            )
            try:
                while not (metrics.exists() and metrics.stat().st_size):
                    if process.poll() is not None or time.monotonic() - start > START_TIMEOUT:
                        raise RuntimeError(f"{script.name} did not get to its first step: {log.read_text()[-500:]}")
                    time.sleep(0.01)
                return time.monotonic() - start
            finally:
                process.send_signal(signal.SIGTERM)  # saves and ends
                try:
                    process.wait(30)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()


def start_times(script: Path, options: Options) -> dict[str, list[float]]:
    """Measures cold and warm starts in turns, each pair with a compilation cache of its own."""
    times = {"cold": [], "warm": []}
    for _ in range(options.starts):
        with tempfile.TemporaryDirectory() as cache:
            for taken in times.values():
                taken.append(first_step_seconds(script, cache=Path(cache), options=options))
    return times


def machine(options: Options) -> dict[str, str]:
    """Describes what the numbers hold for: machine, date, versions and the exact command."""
    versions = [f"Python {platform.python_version()}"]
    for name in ("jax", "jaxlib", "flax", "optax", "torch"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions.append(f"{name} {importlib.metadata.version(name)}")
    pinned = "CPU affinity" if hasattr(os, "sched_setaffinity") else "NPROC only, this system has no CPU affinity"
    return {
        "command": shlex.join(["python", *sys.argv]),
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "machine": f"{_cpu_model()}, {len(_cpus())} CPUs, {platform.system()}",
        "versions": ", ".join(versions),
        "threads": f"{', '.join(map(str, options.threads))}; set by {pinned}",
        "turns": f"{options.repeats} of {options.seconds:g} s for each competitor",
    }


def _cpu_model() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def check(options: Options) -> None:
    """Raises UserError for the first field that is out of bounds."""
    most = len(_cpus())
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
      ``about`` (texts), ``comparisons`` (see :func:`compare`) and ``starts`` (seconds, cold and warm).
    """
    data.load("mnist", data_dir=options.data_dir)  # prepared before any clock starts
    comparisons = []
    for name in CASES:
        for threads in options.threads:
            print(f"{name}, {threads} thread{'s' * (threads > 1)} ...", flush=True)
            context = multiprocessing.get_context("spawn")
            with confined(threads), ProcessPoolExecutor(1, mp_context=context) as process:
                comparisons.append(process.submit(compare, name, threads, options).result())
    if options.starts:
        print("time to the first step ...", flush=True)
    return {
        "about": machine(options),
        "comparisons": comparisons,
        "starts": start_times(EXPERIMENTS / "vanilla_gan.py", options),
    }


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the benchmark as a command."""
    import benchmark_report

    with one_line_errors("benchmark"):
        options = parse(lambda: tyro.cli(Options, args=argv, prog="benchmark"))
        check(options)
        results = run(options)
    ratios, starts = benchmark_report.verdicts(
        results, required={name: case.required for name, case in CASES.items()}, ours=OURS, start_limits=START_LIMITS
    )
    files = benchmark_report.write(results, (*ratios, *starts), ours=OURS, out=options.out)
    print(files[0].read_text(), *files, sep="\n")
    if options.require and not all(verdict.met for verdict in ratios):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
