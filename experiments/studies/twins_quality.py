"""The samples of the vanilla GAN and the DCGAN beside those of their PyTorch twins, after as many epochs.

Run:       python experiments/studies/twins_quality.py      (needs PyTorch: pip install -e '.[imperative]')
           python experiments/studies/twins_quality.py --methods dcgan --dcgan-epochs 3 --seeds 3
Time:      about half an hour on two CPU cores; seconds for what is trained and evaluated already
Expect:    for each pair the mean Fréchet distance, its deviation over training seeds, and the difference of the means
           with its standard error; numbers: experiments/gallery/quality/twins.md
Writes:    runs/twins/METHOD_EPOCHS/PROGRAM_SEED/ with the runs, and evaluation.json in each; runs/twins/twins.md (or in
           --out)
"""

import math
import sys
from collections.abc import Mapping, Sequence
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
from jaxgan.runs.evaluate import evaluate_file
from jaxgan.runs.launch import stopped_in_words
from jaxgan.runs.workdir import write_atomically

RECIPES: Mapping[str, Config] = {module.__name__: module.CONFIG for module in (vanilla_gan, dcgan)}
AT_ONCE = 500  # samples that a twin draws together


@dataclass(frozen=True)
class Options:
    """Trains recipes and their twins from several seeds, or takes finished runs, and compares their samples."""

    methods: tuple[str, ...] = ("vanilla_gan", "dcgan")  # which pairs
    vanilla_gan_epochs: int = 20  # passes over the training images, of both programs
    dcgan_epochs: int = 3  # the same for the DCGAN
    seeds: int = 3  # training seeds, from 0 on
    samples: int = COUNT  # images drawn from each run
    runs: Path = Path("runs/twins")  # folder for the runs
    out: Path = Path("runs/twins")  # folder for the table
    data_dir: Path | None = None  # folder of prepared TFDS data sets; None: TFDS_DATA_DIR or ~/tensorflow_datasets

    def epochs(self, method: str) -> int:
        """The number of epochs of a method."""
        return {"vanilla_gan": self.vanilla_gan_epochs, "dcgan": self.dcgan_epochs}[method]


def config(method: str, seed: int, options: Options) -> Config:
    """Makes the config of a recipe's run."""
    epochs = options.epochs(method)
    folder = options.runs / f"{method}_{epochs}" / f"jaxgan_{seed}"
    return training.with_epochs(RECIPES[method], epochs, workdir=folder, seed=seed, data_dir=options.data_dir)


def recipe(wanted: Config, options: Options) -> float:
    """Trains a recipe, or takes its run, and returns the Fréchet distance of its samples."""
    with stopped_in_words("twins_quality", wanted):
        training.train(wanted)
    return distance(training.evaluate(wanted.run.workdir, samples=options.samples, data_dir=options.data_dir))


def twin(wanted: Config, options: Options) -> float:
    """The same of the recipe's twin, whose samples PyTorch draws in evaluation mode."""
    run, folder = wanted.run, wanted.run.workdir.with_name(f"pytorch_{wanted.run.seed}")
    drawn, count = folder / "drawn.npz", options.samples
    print(f"{folder} ...", flush=True)
    if not drawn.exists():
        how = {name: getattr(run, name) for name in ("epochs", "batch_size", "seed", "data_dir")}
        trained = imperative.run(TWINS[type(wanted.method)], imperative.Options(workdir=folder, **how)).twin
        torch.manual_seed(run.seed)
        samples = torch.cat([trained.sample(AT_ONCE) for _ in range(-(-count // AT_ONCE))])[:count]
        pixels = ((samples + 1) * 127.5).round().clamp(0, 255).byte().permute(0, 2, 3, 1)
        with drawn.with_suffix(".new").open("wb") as file:
            np.savez_compressed(file, images=pixels.numpy())
        drawn.with_suffix(".new").replace(drawn)

    def evaluate() -> str:
        return evaluate_file(drawn, data_name=run.data, count=count, data_dir=options.data_dir).to_json()

    return distance(training.remembered(folder / "evaluation.json", evaluate, newer_than=drawn, n_fake=count))


def distance(evaluation: training.Evaluation) -> float:
    """The Fréchet distance of an evaluation."""
    return evaluation["metrics"]["frechet_distance"]["mean"]


def rows(method: str, epochs: int, ours: Sequence[float], theirs: Sequence[float]) -> list[list[object]]:
    """Writes the distances of a recipe and its twin by training seed, and the difference of their means."""

    def deviation(values: Sequence[float]) -> float | None:
        return float(np.std(values, ddof=1)) if len(values) > 1 else None

    title = RECIPES[method].method.title
    each = [
        [
            *(title, program, epochs),
            training.measured("frechet_distance", float(np.mean(values)), deviation(values)),
            ", ".join(map(markdown.number, values)),
        ]
        for program, values in (("recipe", ours), ("PyTorch twin", theirs))
    ]
    text = f"{np.mean(ours) - np.mean(theirs):+.2g}"
    if len(ours) > 1:
        text += f" ± {math.hypot(deviation(ours), deviation(theirs)) / math.sqrt(len(ours)):.2g}"
    return [*each, [title, "difference", None, text, None]]


def study(options: Options) -> Path:
    """Trains, draws, evaluates and writes the table, anew after each method."""
    epochs = {f"{name}_epochs": options.epochs(name) for name in RECIPES}
    training.check("--methods", options.methods, RECIPES, options.samples, seeds=options.seeds, **epochs)
    configs = {name: [config(name, seed, options) for seed in range(options.seeds)] for name in options.methods}
    training.check_folders([each for several in configs.values() for each in several])
    table, path = [], options.out / "twins.md"
    for method, several in configs.items():
        pairs = [(recipe(each, options), twin(each, options)) for each in several]
        table += rows(method, options.epochs(method), *zip(*pairs, strict=True))
        options.out.mkdir(parents=True, exist_ok=True)
        text = markdown.document(
            "# The recipes and their PyTorch twins",
            machine.describe("jax", "flax", "jaxgan", "torch"),
            f"{training.protocol_text(1, options.samples)} The program that trained draws, in evaluation mode. Means "
            "± deviations are over training seeds. A difference is the recipe's mean less the twin's, ± its standard "
            "error.",
            markdown.table(
                ["method", "program", "epochs", "Fréchet distance ↓", "of each training seed"], table, align="llrrr"
            ),
        )
        write_atomically(path, text)
    return path


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the study as a command."""
    training.command("twins_quality", Options, study, argv)


if __name__ == "__main__":
    main()
