"""Are the samples of the vanilla GAN and of the DCGAN as good as those of their twins in PyTorch, after as many epochs?

Run:       python experiments/quality_of_twins.py          (needs PyTorch: pip install -e '.[imperative]')
           python experiments/quality_of_twins.py --methods dcgan --dcgan-epochs 3 --seeds 3
Time:      about half an hour on two CPU cores; seconds for what was trained and measured before
Expect:    the mean Fréchet distance of each pair and its deviation over the seeds of training, and their difference
           beside its standard error: vanilla GAN 16.0 ± 1.6, its twin 17.9 ± 0.5; DCGAN (two epochs) 16.6 ± 0.5
           and 16.0 ± 1.8
Writes:    runs/twins/METHOD_EPOCHS/ with a folder for each program and seed, in it drawn.npz with 10,000 samples and
           drawn.json with what they are worth; experiments/gallery/quality/twins.md and twins.json. A method that is
           not asked for keeps its rows
"""

import dataclasses
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dcgan
import numpy as np
import tyro
import vanilla_gan
from assessing import runs, tables
from imperative import training
from imperative.requirements import torch
from imperative.twins import TWINS
from jaxtyping import UInt8

from jaxgan import data
from jaxgan.config import Config
from jaxgan.errors import UserError, one_line_errors, parse, unknown_choice
from jaxgan.evaluation import classifier, protocol
from jaxgan.runtime import finished
from jaxgan.runtime.assessment import drawer
from jaxgan.runtime.interrupts import sigterm_ends
from jaxgan.runtime.launch import stopped_in_words
from jaxgan.runtime.workdir import write_atomically

RECIPES: Mapping[str, Config] = {module.__name__: module.CONFIG for module in (vanilla_gan, dcgan)}
PROGRAMS = {"jaxgan": "recipe", "pytorch": "PyTorch twin"}
AT_ONCE = 500  # samples
Images = UInt8[np.ndarray, "count height width channels"]


@dataclass(frozen=True)
class Options:
    """Trains recipes and their twins from several seeds, or takes finished ones, and compares what they draw."""

    methods: tuple[str, ...] = ("vanilla_gan", "dcgan")  # which pairs
    vanilla_gan_epochs: int = 20  # passes over the training images, of both programs
    dcgan_epochs: int = 3  # the same for the DCGAN
    seeds: int = 3  # seeds of training, from 0 on
    runs: Path = Path("runs/twins")  # folder for the runs
    out: Path = Path("experiments/gallery/quality")  # folder for the table
    data_dir: Path | None = None  # folder of prepared TFDS data sets; None: TFDS_DATA_DIR or ~/tensorflow_datasets

    def epochs(self, method: str) -> int:
        """How many epochs a method is trained for."""
        return {"vanilla_gan": self.vanilla_gan_epochs, "dcgan": self.dcgan_epochs}[method]


def check(options: Options) -> None:
    """Raises UserError for the first option that is out of bounds."""
    for name in options.methods:
        if name not in RECIPES:
            raise unknown_choice("--methods", name, RECIPES)
        if options.epochs(name) < 1:
            flag = f"--{name.replace('_', '-')}-epochs"
            raise UserError(f"{flag}: {options.epochs(name)} is not allowed, it must be at least 1")
    if not options.methods:
        raise UserError(f"--methods: none given, choose from {', '.join(RECIPES)}")
    runs.check_seeds(options.seeds)


def place(method: str, program: str, seed: int, options: Options) -> Path:
    """Names the folder of a program's run."""
    return options.runs / f"{method}_{options.epochs(method)}" / f"{program}_{seed}"


def config(method: str, seed: int, options: Options) -> Config:
    """Makes the config of a recipe's run."""
    recipe, epochs = RECIPES[method], options.epochs(method)
    folder = place(method, "jaxgan", seed, options)
    run = dataclasses.replace(
        recipe.run, workdir=folder, epochs=epochs, sample_epochs=(epochs,), seed=seed, data_dir=options.data_dir
    )
    return dataclasses.replace(recipe, run=run)


def from_recipe(method: str, seed: int, options: Options) -> Images:
    """Trains a recipe, unless that is done, and draws from it as ``jaxgan evaluate`` does."""
    wanted = config(method, seed, options)
    with stopped_in_words("quality_of_twins", wanted):
        runs.train(wanted)
    run = finished.load(wanted.run.workdir)
    return drawer(run.method)(run.state, 0, protocol.COUNT)


def from_twin(method: str, seed: int, options: Options) -> Images:
    """Trains a twin in PyTorch, or goes on with it, and draws from it there in evaluation mode."""
    recipe = RECIPES[method]
    how = training.Options(
        workdir=place(method, "pytorch", seed, options),
        epochs=options.epochs(method),
        batch_size=recipe.run.batch_size,
        seed=seed,
        data_dir=options.data_dir,
    )
    twin = training.run(TWINS[type(recipe.method)], how).twin
    torch.manual_seed(seed)
    parts = [twin.sample(AT_ONCE) for _ in range(protocol.COUNT // AT_ONCE)]
    pictures = ((torch.cat(parts) + 1) * 127.5).round().clamp(0, 255).byte()
    return pictures.permute(0, 2, 3, 1).numpy()


def worth(folder: Path, draw: Callable[[], Images], against: protocol.Reference, *, features: str) -> dict[str, Any]:
    """Measures what a run draws, or reads what it was measured to be worth by the same feature network.

    Args:
      folder: the run's, which keeps the samples and the result.
      draw: trains and draws.
      against: the test images.
      features: version of the feature network.

    Returns:
      The metrics by name.
    """
    drawn, found = folder / "drawn.npz", folder / "drawn.json"
    if found.exists() and (known := json.loads(found.read_text()))["features"] == features:
        return known["metrics"]
    if not drawn.exists():
        images = draw()
        with drawn.with_suffix(".new").open("wb") as file:
            np.savez_compressed(file, images=images)
        drawn.with_suffix(".new").replace(drawn)
    metrics = protocol.measure(np.load(drawn)["images"], against, seed=0)
    write_atomically(found, json.dumps({"features": features, "metrics": metrics}, indent=2) + "\n")
    return metrics


def pair(method: str, options: Options, against: protocol.Reference, *, features: str) -> dict[str, Any]:
    """Measures a recipe and its twin over all seeds.

    Args:
      method: which.
      options: epochs and seeds.
      against: the test images.
      features: version of the feature network.

    Returns:
      The Fréchet distances of each program, and what they hold for.
    """
    distances = {program: [] for program in PROGRAMS}
    for seed in range(options.seeds):
        for program, draws in zip(PROGRAMS, (from_recipe, from_twin), strict=True):
            print(f"{RECIPES[method].method.title}, {PROGRAMS[program]}, seed {seed}", flush=True)
            folder = place(method, program, seed, options)
            metrics = worth(
                folder, lambda draws=draws, seed=seed: draws(method, seed, options), against, features=features
            )
            distances[program].append(metrics["frechet_distance"])
    return {
        "title": RECIPES[method].method.title,
        "epochs": options.epochs(method),
        "frechet_distance": distances,
        "about": tables.about(features) | {"PyTorch": torch.__version__},
    }


def difference(found: Mapping[str, Sequence[float]]) -> str:
    """Writes how much the recipe's mean is above the twin's, with the standard error of that."""
    ours, theirs = (np.asarray(found[program]) for program in PROGRAMS)
    text = f"{ours.mean() - theirs.mean():+.2g}"
    if len(ours) < 2:
        return text
    return f"{text} ± {math.sqrt(ours.var(ddof=1) / len(ours) + theirs.var(ddof=1) / len(theirs)):.2g}"


def report(pairs: Mapping[str, Mapping[str, Any]], *, floor: float) -> str:
    """Writes the table in Markdown.

    Args:
      pairs: what was measured, by method.
      floor: the Fréchet distance of real images.

    Returns:
      The table and what it holds for.
    """
    rows = []
    for each in pairs.values():
        for program, values in each["frechet_distance"].items():
            deviation = float(np.std(values, ddof=1)) if len(values) > 1 else None
            mean = tables.measured({"mean": float(np.mean(values)), "deviation": deviation})
            rows.append(
                [each["title"], PROGRAMS[program], str(each["epochs"]), mean, ", ".join(map(tables.distance, values))]
            )
        rows.append([each["title"], "difference", "", difference(each["frechet_distance"]), ""])
    columns = ["method", "program", "epochs", "Fréchet distance ↓", "of each training seed"]
    return "\n".join(
        [
            "# The recipes and their twins in PyTorch\n",
            "".join(f"{each['title']}:\n{tables.header(each['about'])}\n" for each in pairs.values()),
            f"{protocol.COUNT:,} samples of each run, drawn in evaluation mode by the program that trained it, against "
            "the 10,000 test images. Means ± deviations are over seeds of training, which the programs do not share; "
            "a difference below zero is in the recipe's favour, and stands beside its standard error. Real training "
            f"images have {tables.distance(floor)}. Numbers of different feature networks do not compare.\n",
            tables.markdown(columns, rows, words=2),
        ]
    )


def study(options: Options) -> Path:
    """Trains, draws, measures and writes the table, anew after each method.

    Args:
      options: which pairs, and how long.

    Returns:
      The table.
    """
    network, path = classifier.load("mnist"), options.out / "twins.json"
    for method in options.methods:  # all folders are looked at before any runs
        for seed in range(options.seeds):
            runs.check_folder(config(method, seed, options))
    options.out.mkdir(parents=True, exist_ok=True)
    train, test = (data.load("mnist", split=split, data_dir=options.data_dir) for split in ("train", "test"))
    against = protocol.reference(network, test)
    floor = protocol.floor(train.images, against, count=protocol.COUNT)["frechet_distance"]
    known = json.loads(path.read_text())["pairs"] if path.exists() else {}
    for method in options.methods:
        known[method] = pair(method, options, against, features=network.version)
        pairs = {name: known[name] for name in RECIPES if name in known}
        write_atomically(path, json.dumps({"pairs": pairs, "floor": floor}, indent=2) + "\n")
        write_atomically(path.with_suffix(".md"), report(pairs, floor=floor))
    return path.with_suffix(".md")


def main(argv: Sequence[str] | None = None) -> None:
    """Compares the twins, as a command."""
    with one_line_errors("quality_of_twins"), sigterm_ends("quality_of_twins"):
        options = parse(lambda: tyro.cli(Options, args=argv, prog="quality_of_twins"))
        check(options)
        path = study(options)
        print(path.read_text(), path, sep="\n")


if __name__ == "__main__":
    main()
