"""Speed of replicas trained together, relative to one after another, by method, number and form of the program.

Run:       python experiments/studies/replicas.py       (--help lists every flag)
           python experiments/studies/replicas.py --methods vanilla_gan --counts 16
Time:      10 min on two CPU cores
Expect:    a table of speeds relative to the same runs one after another; numbers: experiments/gallery/replicas/
Writes:    runs/replicas/report.md (or in --out)

``turns`` runs the program of one replica for each in turn. ``vmap`` computes all replicas in each operation;
convolutions become grouped convolutions. ``spread`` distributes the replicas over devices.
"""

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # experiments/

import jax
import numpy as np
from studies import machine, markdown
from studies.speed import programs
from studies.speed.timing import Rates, Train, in_fresh_process, interleaved, ratio
from studies.training import check, command

from jaxgan import data
from jaxgan.config import Config
from jaxgan.data import Dataset
from jaxgan.data.order import epoch_order
from jaxgan.errors import UserError
from jaxgan.methods import build
from jaxgan.runs.workdir import write_atomically
from jaxgan.runtime.devices import replicate, replicated, select_devices
from jaxgan.runtime.program import Inputs
from jaxgan.runtime.replicas import Form, Replicas, compile_replicas

ALONE, TURNS, VMAP, SPREAD = "one run", "turns", "vmap", "spread"


@dataclass(frozen=True)
class Options:
    """Times replicas in one program against one run after another, and writes a table."""

    methods: tuple[str, ...] = tuple(programs.RECIPES)  # recipes to time
    counts: tuple[int, ...] = (2, 8)  # numbers of replicas
    threads: int | None = None  # CPU threads of the process; None: the number of CPUs
    repeats: int = 5  # timed turns of each program
    seconds: float = 2.0  # seconds per turn
    data_dir: Path | None = None  # folder of prepared TFDS data sets; None: TFDS_DATA_DIR or ~/tensorflow_datasets
    out: Path = Path("runs/replicas")  # folder for the report


def together(
    config: Config, dataset: Dataset, devices: Sequence[jax.Device], *, count: int, form: Form | None = None
) -> Train:
    """Compiles a program for replicas of a recipe, each with its own seed.

    Args:
      config: config of the recipe.
      dataset: training images.
      devices: devices that share the replicas.
      count: number of replicas.
      form: how a device runs its replicas; None: the default of the device.

    Returns:
      A function that runs a number of steps of all replicas and waits for the last.
    """
    shape, seeds = dataset.image_shape, tuple(range(count))
    method = build(config.method, image_shape=shape)
    replicas = Replicas(lambda values: method, seeds)
    how = {"image_shape": shape, "batch_size": config.run.batch_size, "form": form}
    program = compile_replicas(replicas, devices, **how)
    images, labels = (replicate(x, replicated(devices)) for x in (dataset.images, dataset.labels))
    orders = np.stack([epoch_order(dataset.size, seed=seed, epoch=0) for seed in seeds])
    order, seed = (replicate(x, replicas.sharding(devices)) for x in (orders, np.asarray(seeds, np.uint32)))
    carry, step = program.init(seed), 0

    def train(steps: int) -> None:
        nonlocal carry, step
        step += steps
        carry = program.train_steps(carry, Inputs(images, labels, order, seed, np.int32(step)))
        jax.block_until_ready(carry)

    train(programs.WARM_UP)
    return train


def time_steps(name: str, count: int, options: Options) -> Rates:
    """Times a single run of a recipe and its replicas, in a fresh process."""
    config, dataset = programs.RECIPES[name], data.load("mnist", data_dir=options.data_dir)
    devices = select_devices(replicas=count)
    made = {ALONE: programs.jaxgan(config, dataset, devices[:1])}
    made |= {form: together(config, dataset, devices[:1], count=count, form=form) for form in (TURNS, VMAP)}
    if len(devices) > 1:
        made[SPREAD] = together(config, dataset, devices, count=count)
    return interleaved(made, repeats=options.repeats, seconds=options.seconds)


def report(found: dict[tuple[str, int], Rates], *, threads: int) -> str:
    """Formats the rates by method and number of replicas as a table."""
    rows = []
    for (name, count), rates in found.items():
        speeds = [
            markdown.number(ratio([count * rate for rate in rates[form]], rates[ALONE])) if form in rates else None
            for form in (TURNS, VMAP, SPREAD)
        ]
        milliseconds = markdown.number(1000 / float(np.median(rates[ALONE])))
        rows.append([programs.RECIPES[name].method.title, count, milliseconds, *speeds])
    return markdown.document(
        "# Replicas together and one after another",
        f"{machine.describe()}; {threads} threads; `{machine.command()}`",
        "Steps per second of all replicas, relative to the same runs one after another: medians over interleaved "
        "turns. Above 1, replicas are faster. `turns` runs the program of one replica for each in turn, `vmap` "
        "computes all at once, and `spread` distributes the replicas over devices. The package uses `turns` on CPU "
        "and `vmap` elsewhere.",
        markdown.table(["method", "replicas", "one step of one run, ms", TURNS, VMAP, SPREAD], rows),
    )


def study(options: Options) -> Path:
    """Times the methods, and updates the table after each."""
    check("--methods", options.methods, programs.RECIPES, repeats=options.repeats)
    most = len(machine.cpus())
    threads = most if options.threads is None else options.threads
    if not 1 <= threads <= most:
        raise UserError(f"--threads: {threads} is not allowed, it must be between 1 and the {most} CPUs available")
    if wrong := [count for count in options.counts if count < 2] or not options.counts:
        raise UserError(f"--counts: {wrong[0] if options.counts else 'none'} is not allowed, give numbers from 2 on")
    if not 0 < options.seconds < math.inf:
        raise UserError(f"--seconds: {options.seconds} is not allowed, it must be positive")
    path, found = options.out / "report.md", {}
    data.load("mnist", data_dir=options.data_dir)  # prepares the data before the timing starts
    for name in options.methods:
        for count in options.counts:
            print(f"{count} replicas of {name} ...", flush=True)
            found[name, count] = in_fresh_process(time_steps, name, count, options, threads=threads)
            options.out.mkdir(parents=True, exist_ok=True)
            write_atomically(path, report(found, threads=threads))
    return path


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the study as a command."""
    command("replicas", Options, study, argv)


if __name__ == "__main__":
    main()
