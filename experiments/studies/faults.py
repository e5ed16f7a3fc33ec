"""Kills runs at random moments, lets them go on, and compares what is there at the end with an unbroken run.

Run:       python experiments/studies/faults.py                              (--help lists every flag)
           python experiments/studies/faults.py --recipes dcgan --kills 10
           python experiments/studies/faults.py --kills 0                    (what the digests of a save cost, alone)
Time:      about 15 seconds per kill on one CPU core, so an hour for all on two; a minute without kills
Expect:    a table of the recipes: what the runs were at when they were killed, and what differs at the end
Writes:    runs/faults/ (or --out) with kills.md, anew after each recipe; without kills digests.md

Each run starts with an empty home, so a kill also hits the preparation of the data and the caches.
The vanilla GAN trains on all of MNIST, the other recipes on a zip of pictures, which is decoded faster.
"""

import importlib
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # experiments/

from studies import machine, markdown, training

from jaxgan.config import Config
from jaxgan.data import load
from jaxgan.fields import number
from jaxgan.methods import build
from jaxgan.runs import checkpoints, digests
from jaxgan.runs.load import load_run
from jaxgan.runs.workdir import Workdir
from jaxgan.runtime.program import Carry
from jaxgan.tiles import to_png

EXPERIMENTS = Path(__file__).resolve().parents[1]
SAVES = 20  # of which the costs are medians
EPOCHS, STEPS_PER_EPOCH = 4, 10
STEPS = f"{EPOCHS * STEPS_PER_EPOCH}"
PICTURES = 600  # of which a tenth or so is held out
COMMON = (
    *("--epochs", f"{EPOCHS}", "--log-every", "3", "--checkpoint-every", "1"),
    *("--sample-epochs", *map(str, range(1, EPOCHS + 1))),
)
ALL_OF_MNIST = ("--batch-size", "6000")
SMALL = {
    "autoencoder": ("--hidden-units", "8"),
    "vae": ("--hidden-units", "8"),
    "vanilla_gan": ("--hidden-units", "8"),
    "dcgan": ("--width", "2"),
    "wgan": ("--width", "2"),
    "r3gan": ("--width", "2", "--decay-steps", STEPS),
    "flow_matching": ("--width", "2", "--sample-steps", "1", "--warmup-steps", "2", "--decay-steps", STEPS),
    "cifar10": ("--width", "2", "--max-width", "2", "--blocks", "1", "--decay-steps", STEPS),
    "digit_classifier": ("--width", "2", "--decay-steps", STEPS),
}


@dataclass(frozen=True)
class Options:
    """Kills runs at random moments, lets them go on, and compares them with unbroken ones."""

    recipes: tuple[str, ...] = tuple(SMALL)  # names of the recipes
    kills: int = number(50, low=0)  # of each recipe; 0: measures the digests of a save
    at_once: int = number(2, low=1)  # how many recipes to drill at the same time
    seed: int = 0  # of the moments
    out: Path = Path("runs/faults")  # folder for the report


class Drill(NamedTuple):
    """What became of the runs of one recipe."""

    recipe: str
    kills: int
    moments: Counter[str]  # what the runs were at when they were killed
    runs: int
    differences: list[str]


def study(options: Options) -> Path:
    """Drills the recipes, and writes the report anew after each."""
    training.check("--recipes", options.recipes, SMALL)
    options.out.mkdir(parents=True, exist_ok=True)
    if not options.kills:
        costs = [cost(name, importlib.import_module(name).CONFIG) for name in options.recipes]
        (options.out / "digests.md").write_text(report_costs(costs))
        return options.out / "digests.md"
    drills = {}
    with tempfile.TemporaryDirectory() as name, ThreadPoolExecutor(options.at_once) as threads:
        pictures = write_pictures(Path(name) / "pictures.zip")
        data = dict.fromkeys(options.recipes, ("--data", f"{pictures}", "--batch-size", "50"))
        data |= {"vanilla_gan": ALL_OF_MNIST}
        chances = {recipe: random.Random(f"{recipe} {options.seed}") for recipe in options.recipes}
        futures = [
            threads.submit(drill, recipe, data[recipe], kills=options.kills, chance=chance)
            for recipe, chance in chances.items()
        ]
        for future in as_completed(futures):
            drills[future.result().recipe] = future.result()
            print(future.result(), flush=True)
            done = [drills[recipe] for recipe in options.recipes if recipe in drills]
            (options.out / "kills.md").write_text(report(done))
    return options.out / "kills.md"


def write_pictures(path: Path) -> Path:
    """Writes MNIST's first images as a zip of PNG files, in a folder for each class."""
    digits = load("mnist")
    with zipfile.ZipFile(path, "w") as archive:
        for number, (image, label) in enumerate(zip(digits.images[:PICTURES], digits.labels, strict=False)):
            archive.writestr(f"{label}/{number}.png", to_png(image))
    return path


def drill(recipe: str, data: Sequence[str], *, kills: int, chance: random.Random) -> Drill:
    """Trains a recipe in small without a break, then again and again with kills, and compares.

    It makes at least so many kills, at moments drawn by ``chance``; the last run comes to its end.
    """
    moments, differences, runs = Counter(), [], 0
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        began = time.perf_counter()
        process = start(recipe, data, root / "unbroken")
        if process.wait():
            raise RuntimeError(f"{recipe} failed:\n{log_of(root / 'unbroken').read_text()[-2000:]}")
        seconds, reference = time.perf_counter() - began, contents(root / "unbroken" / "run")
        while moments.total() < kills:
            home, runs, ended, attempts = root / f"broken_{runs}", runs + 1, None, 0
            while ended is None:
                began, attempts = time.perf_counter(), attempts + 1
                process = start(recipe, data, home)
                try:
                    ended = process.wait(chance.uniform(0, seconds)) if moments.total() < kills else process.wait()
                except subprocess.TimeoutExpired:
                    moments[stage(home)] += 1
                    process.kill()
                    process.wait()
            if attempts == 1:  # other work on the machine may have slowed down the runs before
                seconds = min(seconds, time.perf_counter() - began)
            if ended:
                differences.append(f"run {runs} ended with {ended}: {log_of(home).read_text()[-300:]}")
            else:
                differences += [f"run {runs}: {what}" for what in compare(reference, contents(home / "run"))]
    return Drill(recipe, moments.total(), moments, runs, differences)


def start(recipe: str, data: Sequence[str], home: Path) -> subprocess.Popen[bytes]:
    """Starts or resumes a recipe in its own home."""
    home.mkdir(exist_ok=True)
    flags = (*SMALL[recipe], *COMMON, *data)
    command = [sys.executable, EXPERIMENTS / f"{recipe}.py", "--workdir", home / "run", *flags]
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("JAXGAN", "XDG"))}
    with log_of(home).open("wb") as log:
        return subprocess.Popen(command, env=variables | {"HOME": str(home)}, stdout=log, stderr=subprocess.STDOUT)


def log_of(home: Path) -> Path:
    """What the newest process of a home has printed."""
    return home / "log.txt"


def stage(home: Path) -> str:
    """What a run is at, by the files that it has written."""
    folder, printed = Workdir(home / "run"), log_of(home).read_text(errors="replace")
    if any(folder.checkpoints.glob("*tmp*")):
        return "save"
    if "Devices:" not in printed:
        return "data" if printed else "import"
    steps = folder.metrics.read_text().count("\n") if folder.metrics.exists() else 0
    if not steps:
        return "compile"
    return "figures" if f'"epoch": {EPOCHS}' in folder.metrics.read_text() else "steps"


def contents(folder: Path) -> dict[str, object]:
    """Everything that a finished run has to show: rows, samples, figures by name, and the state."""
    run = Workdir(folder)
    state = load_run(folder).state
    return {
        "metrics": run.metrics.read_bytes(),
        **{f"samples/{file.name}": np.load(file) for file in sorted((folder / "samples").glob("*.npy"))},
        **{f"figures/{file.name}": file.read_bytes() for file in sorted((folder / "figures").iterdir())},
        **{jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in jax.tree_util.tree_leaves_with_path(state)},
    }


def compare(expected: dict[str, object], found: dict[str, object]) -> list[str]:
    """The names of what differs, or is there in one of both alone."""
    return [
        name
        for name in sorted(expected.keys() | found.keys())
        if not (name in expected and name in found and np.array_equal(expected[name], found[name]))
    ]


def report(drills: Sequence[Drill]) -> str:
    """The table, as Markdown."""
    stages = ("import", "data", "compile", "steps", "save", "figures")
    rows = [
        (found.recipe, found.kills, *(found.moments[name] for name in stages), found.runs, len(found.differences))
        for found in drills
    ]
    return markdown.document(
        "# Runs killed at random moments",
        "SIGKILL at a moment drawn uniformly from a run's length, then the same command again, until the run ends. "
        "Metrics, samples, figures and the state are compared with an unbroken run, byte by byte. "
        "The vanilla GAN trains on all of MNIST, the others on a zip of 600 pictures.",
        markdown.table(("recipe", "kills", *(f"in {name}" for name in stages), "runs", "differences"), rows),
        "\n".join(f"- {found.recipe}: {what}" for found in drills for what in found.differences),
        machine.describe("jax", "orbax-checkpoint"),
    )


class Cost(NamedTuple):
    """Seconds of the processor for a save, and for its digests."""

    recipe: str
    megabytes: float
    save: float
    digests: float


def cost(recipe: str, config: Config, *, saves: int = SAVES) -> Cost:
    """Saves random arrays of the shapes of a recipe's state, and measures the digests beside each save."""
    abstract = jax.eval_shape(build(config.method, image_shape=(28, 28, 1)).init, jax.random.key(0))
    noise = np.random.default_rng(0)  # of which nothing can be compressed, as of trained weights
    state = jax.tree.map(lambda leaf: jax.device_put(noise.normal(size=leaf.shape).astype(leaf.dtype)), abstract)
    carry, seconds = Carry(state, {}, np.int32(0)), []
    with tempfile.TemporaryDirectory() as name, checkpoints.checkpoint_manager(Path(name)) as manager:
        for step in range(1, saves + 1):
            began = time.process_time()
            digests.digest(state)
            between = time.process_time()
            checkpoints.save(manager, carry, step=step)
            manager.wait_until_finished()
            seconds.append((time.process_time() - between, between - began))
    size = sum(leaf.nbytes for leaf in jax.tree.leaves(state)) / 2**20
    return Cost(recipe, size, *map(statistics.median, zip(*seconds, strict=True)))


def report_costs(costs: Sequence[Cost]) -> str:
    """What digests cost, as Markdown."""
    rows = [
        (each.recipe, f"{each.megabytes:.1f}", f"{1e3 * each.save:.0f}", f"{1e3 * each.digests:.2f}", share(each))
        for each in costs
    ]
    return markdown.document(
        "# What the digests of a checkpoint cost",
        f"Each array of a checkpoint has a CRC-32. Times are the processor's, medians of {SAVES} saves.",
        markdown.table(("recipe", "MB", "save, ms", "its digests, ms", "share"), rows),
        machine.describe("jax", "orbax-checkpoint"),
    )


def share(each: Cost) -> str:
    """The digests' share of a save, in percent."""
    return f"{100 * each.digests / each.save:.1f} %"


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the study as a command."""
    training.command("faults", Options, study, argv)


if __name__ == "__main__":
    main()
