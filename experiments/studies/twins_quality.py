"""Samples of the vanilla GAN and the DCGAN beside samples of their PyTorch twins, after equal numbers of epochs.

Run:       python experiments/studies/twins_quality.py      (needs PyTorch: pip install -e '.[imperative]')
           python experiments/studies/twins_quality.py --methods dcgan --seeds 1
Time:      about half an hour on two CPU cores; seconds for evaluated runs
Expect:    for each pair, the mean Fréchet distance, its deviation over training seeds, and the difference of the means
           with its standard error; numbers: experiments/gallery/quality/twins.md
Writes:    runs/twins/METHOD/ with the runs, and a file per Fréchet distance; runs/twins/twins.md (or in --out)
"""

import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # experiments/

import dcgan
import numpy as np
import vanilla_gan
from imperative import training as imperative
from imperative.requirements import torch
from imperative.twins import TWINS
from studies import machine, markdown, training

from jaxgan.config import Config
from jaxgan.evaluation.protocol import COUNT
from jaxgan.evaluation.report import Evaluation
from jaxgan.runs.evaluate import evaluate_file, evaluate_run
from jaxgan.runs.launch import stopped_in_words
from jaxgan.runs.workdir import write_atomically

RECIPES = {"vanilla_gan": vanilla_gan.CONFIG, "dcgan": dcgan.CONFIG}
EPOCHS = {"vanilla_gan": 20, "dcgan": 3}  # for both programs
AT_ONCE = 500  # batch size for samples of a twin


@dataclass(frozen=True)
class Options:
    """Trains recipes and their twins with several seeds, or reuses finished runs, and compares their samples."""

    methods: tuple[str, ...] = tuple(RECIPES)  # pairs to compare
    seeds: int = 3  # number of training seeds, from 0
    samples: int = COUNT  # images drawn from each run
    runs: Path = Path("runs/twins")  # folder for the runs
    out: Path = Path("runs/twins")  # folder for the table
    data_dir: Path | None = None  # folder of prepared TFDS data sets; None: TFDS_DATA_DIR or ~/tensorflow_datasets


def config(method: str, seed: int, options: Options) -> Config:
    """Makes the config of a recipe's run."""
    run = {"workdir": options.runs / method / f"jaxgan_{seed}", "seed": seed, "data_dir": options.data_dir}
    return training.with_epochs(RECIPES[method], EPOCHS[method], **run)


def recipe(wanted: Config, samples: int) -> Evaluation:
    """Trains a recipe, or reuses its run, and evaluates it."""
    with stopped_in_words("twins_quality", wanted):
        training.train(wanted)
    return evaluate_run(wanted.run.workdir, count=samples, data_dir=wanted.run.data_dir)


def twin(wanted: Config, samples: int) -> Evaluation:
    """Trains the twin of a recipe, or reuses its run, and evaluates samples from PyTorch in evaluation mode."""
    run, folder = wanted.run, wanted.run.workdir.with_name(f"pytorch_{wanted.run.seed}")
    how = {name: getattr(run, name) for name in ("epochs", "batch_size", "seed", "data_dir")}
    trained = imperative.run(TWINS[type(wanted.method)], imperative.Options(workdir=folder, **how)).twin
    torch.manual_seed(run.seed)
    images = torch.cat([trained.sample(AT_ONCE) for _ in range(-(-samples // AT_ONCE))])[:samples]
    pixels = ((images + 1) * 127.5).round().clamp(0, 255).byte().permute(0, 2, 3, 1)
    np.savez_compressed(folder / "drawn.npz", images=pixels.numpy())
    return evaluate_file(folder / "drawn.npz", data_name=run.data, count=samples, data_dir=run.data_dir)


def distance(make: Callable[[Config, int], Evaluation], wanted: Config, samples: int) -> float:
    """Returns the Fréchet distance of a program's samples, from a file if they are already evaluated."""
    path = wanted.run.workdir.with_name(f"{make.__name__}_{wanted.run.seed}_{samples}.txt")
    print(f"{path} ...", flush=True)
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, str(make(wanted, samples).metrics["frechet_distance"].mean))
    return float(path.read_text())


def rows(method: str, ours: Sequence[float], theirs: Sequence[float]) -> list[list[object]]:
    """Formats the distances of a recipe and its twin by training seed, and the difference of their means."""
    title, several, found = RECIPES[method].method.title, len(ours) > 1, []
    means = [float(np.mean(values)) for values in (ours, theirs)]
    deviations = [float(np.std(values, ddof=1)) if several else None for values in (ours, theirs)]
    for program, mean, deviation, values in zip(
        ("recipe", "PyTorch twin"), means, deviations, (ours, theirs), strict=True
    ):
        text = markdown.number(mean) + (f" ± {deviation:.2g}" if several else "")
        found.append([title, program, EPOCHS[method], text, ", ".join(map(markdown.number, values))])
    error = f" ± {math.hypot(*deviations) / math.sqrt(len(ours)):.2g}" if several else ""
    return [*found, [title, "difference", None, f"{means[0] - means[1]:+.2g}{error}", None]]


def study(options: Options) -> Path:
    """Trains and evaluates the pairs, and updates the table after each."""
    training.check("--methods", options.methods, RECIPES, options.samples, seeds=options.seeds)
    table, path = [], options.out / "twins.md"
    for method in options.methods:
        configs = [config(method, seed, options) for seed in range(options.seeds)]
        distances = [[distance(make, each, options.samples) for each in configs] for make in (recipe, twin)]
        table += rows(method, *distances)
        options.out.mkdir(parents=True, exist_ok=True)
        text = markdown.document(
            "# The recipes and their PyTorch twins",
            machine.describe("jax", "flax", "jaxgan", "torch"),
            f"{training.protocol_text(options.samples)} Each program draws its own samples, in evaluation mode. Means "
            "± standard deviations are over training seeds. A difference is the recipe's mean minus the twin's mean, "
            "± its standard error.",
            markdown.table(
                ["method", "program", "epochs", "Fréchet distance ↓", "by training seed"], table, align="llrrr"
            ),
        )
        write_atomically(path, text)
    return path


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the study as a command."""
    training.command("twins_quality", Options, study, argv)


if __name__ == "__main__":
    main()
