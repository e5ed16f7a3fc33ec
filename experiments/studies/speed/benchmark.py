"""How fast the compiled steps are, beside the same steps in PyTorch, in Flax NNX and from stock Flax layers.

Run:       python experiments/studies/speed/benchmark.py      (PyTorch: pip install -e '.[imperative]')
           python experiments/studies/speed/benchmark.py --methods dcgan --threads 1 --starts 0 --batch-sizes --widths
                                                              (one method; an empty list leaves a part out)
Time:      20 min on two CPU cores
Expect:    one table of steps per second, then first steps, a DCGAN at other sizes, and the loop
Writes:    runs/speed/ (or --out) with report.md, numbers.json and speed.png, anew after each part

Every method has a process per number of threads, confined to as many CPUs. Its programs take turns there, so that other
load on the machine hits all of them alike. A ratio is taken within each turn; the report shows the median.
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
    """Times the compiled steps of this package beside those of PyTorch and Flax, and writes a report."""

    methods: tuple[str, ...] = tuple(RECIPES)  # which recipes to time
    threads: tuple[int, ...] = (1, 2)  # numbers of CPU threads, a fresh process each
    repeats: int = 5  # turns of each program
    seconds: float = 1.0  # length of a turn
    starts: int = 2  # cold and warm starts of each script; 0: none
    batch_sizes: tuple[int, ...] = (16, 64, 256, 1024)  # of a DCGAN step; none: leave them out
    widths: tuple[int, ...] = (16, 32, 64)  # of a DCGAN step; none: leave them out
    loop_steps: int = 10_000  # steps to measure the training loop over; 0: leave it out
    data_dir: Path | None = None  # folder of prepared TFDS data sets; None: TFDS_DATA_DIR or ~/tensorflow_datasets
    out: Path = Path("runs/speed")  # folder of the report, its numbers and its figure


def study(options: Options) -> Path:
    """Measures everything, and writes the report anew after each part."""
    check_options(options)
    data.load("mnist", data_dir=options.data_dir)  # prepared before any clock starts
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
    """Times the programs that train a method; a fresh process calls this."""
    devices = select_devices(batch_size=config.run.batch_size)
    size = f"batch size {config.run.batch_size}, devices: {len(devices)}"
    print(f"{config.method.title}, {size} ...", flush=True)
    dataset = data.load(config.run.data, data_dir=options.data_dir)
    trains = programs(method, config, dataset, devices, chosen=chosen)
    return interleaved(trains, repeats=options.repeats, seconds=options.seconds)


def time_loop(options: Options) -> dict[str, Any]:
    """Measures what the training loop costs, and its memory; a fresh process calls this."""
    config, devices = RECIPES[LOOP], select_devices(count=1)
    dataset = data.load(config.run.data, data_dir=options.data_dir)
    every = max(1, options.loop_steps // 10)
    return {"method": LOOP, **loop.measure(config, dataset, devices, steps=options.loop_steps, memory_every=every)}


def sizes(batch_sizes: Sequence[int], widths: Sequence[int]) -> list[Config]:
    """Gives the DCGAN each batch size and each width once; one varies, the other is the recipe's."""
    recipe = RECIPES["dcgan"]
    pairs = [(size, recipe.method.width) for size in batch_sizes]
    pairs += [(recipe.run.batch_size, width) for width in widths]
    return [
        Config(replace(recipe.method, width=width), replace(recipe.run, batch_size=size))
        for size, width in dict.fromkeys(pairs)
    ]


def check_options(options: Options) -> None:
    """Raises UserError for the first option out of bounds."""
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
