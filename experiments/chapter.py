"""The chapter on one page: samples of each method through training, from the autoencoder to the Wasserstein GAN.

Run:       python experiments/chapter.py            (--help lists every flag)
Time:      the time of all unfinished recipes; seconds if all are finished
Expect:    five sections, one per method; each row shows samples from the same latents at a later epoch
Read:      jaxgan/methods/autoencoder.py, vae.py, vanilla_gan.py, dcgan.py and wgan.py
Notebook:  experiments/chapter.ipynb trains the same methods in five minutes, cell by cell
Writes:    runs/chapter/chapter.png, and the working directories of the recipes beside it
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import autoencoder
import dcgan
import numpy as np
import tyro
import vae
import vanilla_gan
import wgan
from jaxtyping import UInt8

from jaxgan import figures
from jaxgan.config import Config
from jaxgan.errors import UserError, one_line_errors, parse
from jaxgan.runs import tracking, workdir
from jaxgan.runs.launch import run, stopped_in_words
from jaxgan.runtime.signals import exit_on_signals

RECIPES = (autoencoder, vae, vanilla_gan, dcgan, wgan)  # in the chapter's order
ROWS, COLUMNS = 3, 14


@dataclass(frozen=True)
class Options:
    """Runs the recipes of the chapter, or reuses finished runs, and draws their samples on one page."""

    runs: Path = Path("runs")  # folder with one working directory per recipe
    out: Path | None = None  # folder for the page; None: chapter in the folder of the runs
    epochs: int | None = None  # maximum number of epochs of each recipe; None: no maximum
    data: str = "mnist"  # data set: see `jaxgan data list`
    data_dir: Path | None = None  # folder of prepared TFDS data sets; None: TFDS_DATA_DIR or ~/tensorflow_datasets


def configs(options: Options) -> list[Config]:
    """Makes the configs of the recipes."""
    if options.epochs is not None and options.epochs < 1:
        raise UserError(f"--epochs: {options.epochs} is not allowed, it must be at least 1")
    changes = {"data": options.data, "data_dir": options.data_dir}
    return [
        dataclasses.replace(
            recipe.CONFIG,
            run=dataclasses.replace(
                recipe.CONFIG.run,
                workdir=options.runs / recipe.CONFIG.run.workdir.name,
                epochs=min(recipe.CONFIG.run.epochs, options.epochs or recipe.CONFIG.run.epochs),
                **changes,
            ),
        )
        for recipe in RECIPES
    ]


def finished(config: Config) -> bool:
    """Whether the working directory of a recipe holds a run of its method with enough epochs, even with other fields.

    Args:
      config: config of the recipe.

    Returns:
      True to reuse that run, False to run the recipe.

    Raises:
      UserError: if the recipe has to run and the directory holds something else.
    """
    folder = workdir.Workdir(config.run.workdir)
    started = workdir.load_config(folder)
    epochs = max((row["epoch"] for row in tracking.read_rows(folder.metrics)), default=0)
    drawn = max(tracking.read_samples(folder), default=0)
    if started is not None and started.kind == config.kind and min(epochs, drawn) >= config.run.epochs:
        return True
    workdir.check_resume(config, started=started, checkpointed=False)
    return False


def section(config: Config) -> tuple[str, dict[str, UInt8[np.ndarray, "columns height width channels"]]]:
    """Reads samples of a finished run from the first, the last, and intermediate epochs.

    Args:
      config: config of the run.

    Returns:
      A heading and rows of images by label.
    """
    folder = workdir.Workdir(config.run.workdir)
    seconds = {row["epoch"]: row["seconds"] for row in tracking.read_rows(folder.timings)}
    samples = tracking.read_samples(folder)
    epochs = sorted(samples)
    chosen = sorted({epochs[round(i)] for i in np.linspace(0, len(epochs) - 1, ROWS)})
    rows = {
        f"epoch {epoch}" + (f"\n{duration(seconds[epoch])}" if epoch in seconds else ""): samples[epoch][:COLUMNS]
        for epoch in chosen
    }
    return f"{config.method.title}: {'noise, decoded' if config.kind == 'autoencoder' else 'samples'}", rows


def duration(seconds: float) -> str:
    """Formats a duration in seconds, or in minutes from 100 s on."""
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


def main(argv: Sequence[str] | None = None) -> None:
    """Draws the page as a command."""
    with one_line_errors("chapter"), exit_on_signals("chapter"):
        options = parse(lambda: tyro.cli(Options, args=argv, prog="chapter"))
        wanted = configs(options)
        for config in [each for each in wanted if not finished(each)]:  # checks all folders before the first run
            with stopped_in_words("chapter", config):
                run(config)
        page = figures.progression(dict(map(section, wanted)), title="The chapter's methods, from noise to digits")
        out = options.out or options.runs / "chapter"
        out.mkdir(parents=True, exist_ok=True)
        print(figures.save(page, out / "chapter.png"))


if __name__ == "__main__":
    main()
