"""Speed of the compiled steps, beside the same steps in PyTorch, Flax NNX and stock Flax layers.

Run:       python experiments/studies/speed/benchmark.py      (PyTorch: pip install -e '.[imperative]')
           python experiments/studies/speed/benchmark.py --methods dcgan --threads 1 --starts 0 --batch-sizes --widths
                                                              (one method; an empty list skips a part)
Time:      20 min on two CPU cores
Expect:    a table of steps per second, then first steps, a DCGAN at other sizes, and the training loop
Writes:    runs/speed/ (or --out) with report.md, numbers.json and speed.png, updated after each part

Every method and number of threads has a process that is confined to this number of CPUs. Its programs take turns, so
other load on the machine affects all of them equally. Ratios are taken within a turn; the report shows their median.
"""

import math
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # experiments/

from studies import machine
from studies.speed import loop, report, starts
from studies.speed.programs import EAGER, JAXGAN, PROGRAMS, RECIPES, programs
from studies.speed.timing import Rates, in_fresh_process, interleaved
from studies.training import check, command

from jaxgan import data
from jaxgan.config import Config, validate
from jaxgan.errors import UserError
from jaxgan.runtime.devices import select_devices

LOOP = "vanilla_gan"  # the recipe with the shortest steps


@dataclass(frozen=True)
class Options:
    """Times compiled steps of this package beside steps of PyTorch and Flax, and writes a report."""

    methods: tuple[str, ...] = tuple(RECIPES)  # recipes to time
    threads: tuple[int, ...] = (1, 2)  # numbers of CPU threads, each in a new process
    repeats: int = 5  # timed turns of each program
    seconds: float = 1.0  # seconds per turn
    starts: int = 2  # number of cold and warm starts of each script; 0: skip
    batch_sizes: tuple[int, ...] = (16, 64, 256, 1024)  # batch sizes of a DCGAN step; none: skip
    widths: tuple[int, ...] = (16, 32, 64)  # widths of a DCGAN step; none: skip
    loop_steps: int = 10_000  # steps for the measurement of the training loop; 0: skip
    data_dir: Path | None = None  # folder of prepared TFDS data sets; None: TFDS_DATA_DIR or ~/tensorflow_datasets
    out: Path = Path("runs/speed")  # folder for the report, its numbers and its figure


def study(options: Options) -> Path:
    """Runs all measurements, and updates the report after each part."""
    check_options(options)
    data.load("mnist", data_dir=options.data_dir)  # prepares the data before the timing starts
    options.out.mkdir(parents=True, exist_ok=True)
    results: dict[str, Any] = {"machine": machine.describe(), "command": machine.command()}
    results |= {"load": os.getloadavg()[0], "turns": f"{options.repeats} turns of {options.seconds:g} s"}
    results |= {"start_count": options.starts}
    results |= {"speeds": [], "starts": {}, "scaling": [], "loop": {}}
    for method in options.methods:
        for threads in options.threads:
            rates = in_fresh_process(time_steps, method, RECIPES[method], options, threads=threads)
            results["speeds"].append({"method": method, "threads": threads, "rates": rates})
            report.write(results, out=options.out)
    for config in sizes(options.batch_sizes, options.widths):
        size = {"batch_size": config.run.batch_size, "width": config.method.width}
        rates = in_fresh_process(time_steps, "dcgan", config, options, (JAXGAN, EAGER), threads=1)
        results["scaling"].append({**size, "rates": rates})
        report.write(results, out=options.out)
    if options.loop_steps:
        print("the training loop ...", flush=True)
        results["loop"] = in_fresh_process(time_loop, options, threads=1)
        report.write(results, out=options.out)
    for method in options.methods if options.starts else ():
        print(f"{method}, first steps ...", flush=True)
        how = (options.starts, options.data_dir)
        results["starts"][method] = in_fresh_process(starts.measure, method, *how, threads=1)
        report.write(results, out=options.out)
    return report.write(results, out=options.out)


def time_steps(method: str, config: Config, options: Options, chosen: Sequence[str] = PROGRAMS) -> Rates:
    """Times the programs that train a method, in a new process."""
    devices = select_devices(batch_size=config.run.batch_size)
    size = f"batch size {config.run.batch_size}, devices: {len(devices)}"
    print(f"{config.method.title}, {size} ...", flush=True)
    dataset = data.load(config.run.data, data_dir=options.data_dir)
    trains = programs(method, config, dataset, devices, chosen=chosen)
    return interleaved(trains, repeats=options.repeats, seconds=options.seconds)


def time_loop(options: Options) -> dict[str, Any]:
    """Measures overhead and memory of the training loop, in a new process."""
    config, devices = RECIPES[LOOP], select_devices(count=1)
    dataset = data.load(config.run.data, data_dir=options.data_dir)
    every = max(1, options.loop_steps // 10)
    return {"method": LOOP, **loop.measure(config, dataset, devices, steps=options.loop_steps, memory_every=every)}


def sizes(batch_sizes: Sequence[int], widths: Sequence[int]) -> list[Config]:
    """Returns DCGANs with each batch size and each width; the other one has the value of the recipe."""
    recipe = RECIPES["dcgan"]
    pairs = [(size, recipe.method.width) for size in batch_sizes]
    pairs += [(recipe.run.batch_size, width) for width in widths]
    return [
        Config(replace(recipe.method, width=width), replace(recipe.run, batch_size=size))
        for size, width in dict.fromkeys(pairs)
    ]


def check_options(options: Options) -> None:
    """Raises UserError for the first invalid option."""
    check("--methods", options.methods, RECIPES, repeats=options.repeats)
    for config in sizes(options.batch_sizes, options.widths):
        validate(config)
    most = len(machine.cpus())
    for threads in options.threads:
        if not 1 <= threads <= most:
            raise UserError(f"--threads: {threads} is not allowed, it must be between 1 and the {most} CPUs available")
    if not 0 < options.seconds < math.inf:
        raise UserError(f"--seconds: {options.seconds} is not allowed, it must be positive")


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the benchmark as a command."""
    command("benchmark", Options, study, argv)


if __name__ == "__main__":
    main()
