"""What moved the number: the R3GAN recipe with one part taken away or changed at a time, each a line of its config.

Run:       python experiments/ablation.py           (--help lists every flag)
           python experiments/ablation.py --rows full no_ema --epochs 2
           XLA_FLAGS=--xla_force_host_platform_device_count=2 python experiments/ablation.py      (a device a core)
Time:      about 1 min an epoch and row on two CPU cores, 20 min for all of them, and half a minute a row to evaluate
Expect:    a table of the rows that were trained so far for as many epochs, finished runs taken as they are; in every
           row the step sizes fall to nothing within these epochs, except in the one where they stay
Writes:    runs/ablation/ROW/ with what every run writes and evaluation.json; experiments/gallery/quality/ablation.md
"""

import dataclasses
import types
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import r3gan
import tyro
from assessing import runs, tables

from jaxgan import config as configs
from jaxgan.config import Config
from jaxgan.data.catalog import find
from jaxgan.errors import one_line_errors, parse, unknown_choice
from jaxgan.evaluation import classifier
from jaxgan.runtime.interrupts import sigterm_ends
from jaxgan.runtime.launch import stopped_in_words
from jaxgan.runtime.loop import Diverged
from jaxgan.runtime.workdir import write_atomically

TRAINING_IMAGES = find("mnist").examples["train"]
NOTHING: Mapping[str, Any] = types.MappingProxyType({})


class Row(NamedTuple):
    """One change to the recipe: what to call it, and the fields that it sets."""

    title: str
    method: Mapping[str, Any] = NOTHING
    run: Mapping[str, Any] = NOTHING


ROWS = {
    "full": Row("the recipe"),
    "non_saturating": Row("non-saturating loss", {"loss": "non_saturating"}),
    "no_r2": Row("without R2", {"r2_weight": 0.0}),
    "no_penalties": Row("without R1 and R2", {"r1_weight": 0.0, "r2_weight": 0.0}),
    "every_step": Row("penalties in every step", {"penalty_every": 1}),
    "no_ema": Row("the last generator, not the averaged one", {"ema_decay": 0.0}),
    "batch_norm": Row("batch normalization", {"generator_norm": "batch", "discriminator_norm": "batch"}),
    "constant": Row("constant step sizes", {"decay_steps": 0}),
    "width_16": Row("half the width", {"width": 16}),
    "normal": Row("normal latents, not in clusters", {"latent_law": "normal"}),
    "latents_80": Row("80 latents", {"latent_size": 80}),
    "all_latents": Row("samples of all latents, not of the middle ones", {"truncation": 1.0}),
    "batch_64": Row("batches of 64", run={"batch_size": 64}),
    "chapter_adam": Row(
        "the Adam of the chapter's DCGAN",
        {"beta1": 0.9, "beta2": 0.999, "generator_learning_rate": 3e-4, "discriminator_learning_rate": 2e-4},
    ),
}
METRICS = {
    "frechet_distance": ("Fréchet distance ↓", tables.distance),
    "precision": ("precision ↑", tables.fraction),
    "recall": ("recall ↑", tables.fraction),
    "coverage": ("coverage ↑", tables.fraction),
}


@dataclass(frozen=True)
class Options:
    """Trains the recipe with one thing changed at a time, evaluates all runs alike, and writes a table."""

    rows: tuple[str, ...] = field(default=tuple(ROWS))  # what to train; the table has finished ones too
    epochs: int = 2  # passes over the training images; step sizes fall within them
    seeds: int = 1  # how many times samples are drawn from each run; more than once gives mean and deviation
    runs: Path = Path("runs/ablation")  # folder with a folder for each row
    out: Path = Path("experiments/gallery/quality")  # folder for the table
    data_dir: Path | None = None  # folder of prepared TFDS data sets; None: TFDS_DATA_DIR or ~/tensorflow_datasets


def config(row: str, options: Options) -> Config:
    """Makes the config of a row: the recipe, for as many epochs as are asked for, and then the change."""
    recipe, epochs = r3gan.CONFIG, options.epochs
    run = dataclasses.replace(
        recipe.run,
        workdir=options.runs / row,
        data_dir=options.data_dir,
        epochs=epochs,
        sample_epochs=tuple(sorted({1, max(1, epochs)})),
        **ROWS[row].run,
    )
    steps = max(1, epochs * (TRAINING_IMAGES // run.batch_size))
    return Config(method=dataclasses.replace(recipe.method, **{"decay_steps": steps} | ROWS[row].method), run=run)


def line(row: Row) -> str:
    """Writes the change as the flags of the recipe."""
    return " ".join(f"`--{name.replace('_', '-')} {value}`" for name, value in {**row.method, **row.run}.items())


def report(found: Mapping[str, tuple[runs.Evaluation, float] | str], options: Options, *, features: str) -> str:
    """Writes the table in Markdown.

    Args:
      found: by row the evaluation and the seconds of training, or why there is none.
      options: epochs and seeds.
      features: version of the feature network.

    Returns:
      The table under what it holds for.
    """
    cells, floor = [], []
    for name, row in ROWS.items():
        match found.get(name):
            case str(words):
                cells.append([row.title, line(row), words, *[""] * len(METRICS)])
            case (evaluation, seconds):
                metrics = evaluation["metrics"]
                numbers = [tables.measured(metrics[metric], write) for metric, (_, write) in METRICS.items()]
                cells.append([row.title, line(row), *numbers, f"{seconds:.0f}"])
                real = [write(metrics[metric]["floor"]) for metric, (_, write) in METRICS.items()]
                floor = [["floor: training images in the place of samples", "", *real, ""]]
    columns = ["R3GAN", "change", *(label for label, _ in METRICS.values()), "seconds of training"]
    drawn = "" if options.seeds == 1 else f", drawn {options.seeds} times: mean ± deviation"
    epochs = "1 epoch" if options.epochs == 1 else f"{options.epochs} epochs"
    words = (
        f"Each row is the recipe of `experiments/r3gan.py` with this change, trained for {epochs} from one seed, with "
        "step sizes that fall to nothing within them unless said otherwise. All are evaluated as "
        f"`jaxgan evaluate` does, by 10,000 samples{drawn}. One training seed a row, so small differences may be "
        "chance. Numbers of different feature networks do not compare.\n"
    )
    return (
        "# What moved the number\n\n"
        + tables.header(tables.about(features))
        + f"\n{words}\n"
        + tables.markdown(columns, cells + floor, words=2)
    )


def check(options: Options) -> None:
    """Raises UserError for the first option that is out of bounds, before anything is trained."""
    for row in options.rows:
        if row not in ROWS:
            raise unknown_choice("--rows", row, ROWS)
    runs.check_seeds(options.seeds)
    for row in options.rows:
        configs.validate(config(row, options))
    for row in options.rows:  # all are looked at before any runs
        runs.check_folder(config(row, options))


def study(options: Options) -> Path:
    """Trains and evaluates row after row, and writes the table anew after each.

    Args:
      options: what to train.

    Returns:
      The table.
    """
    features, found, path = classifier.load("mnist").version, {}, options.out / "ablation.md"
    path.parent.mkdir(parents=True, exist_ok=True)
    wanted = {name: config(name, options) for name in ROWS}
    finished = [name for name in ROWS if runs.is_finished(wanted[name])]
    for name in finished + [name for name in ROWS if name in options.rows and name not in finished]:
        print(f"{ROWS[name].title} ({name})", flush=True)
        folder = wanted[name].run.workdir
        with stopped_in_words("ablation", wanted[name]):
            try:
                runs.train(wanted[name])
            except Diverged as failure:
                found[name] = f"diverged, {failure}"
            else:
                evaluation = runs.evaluate(folder, seeds=range(options.seeds), data_dir=options.data_dir)
                found[name] = evaluation, runs.training_seconds(folder)
        write_atomically(path, report(found, options, features=features))
    return path


def main(argv: Sequence[str] | None = None) -> None:
    """Trains, evaluates and writes the table, as a command."""
    with one_line_errors("ablation"), sigterm_ends("ablation"):
        options = parse(lambda: tyro.cli(Options, args=argv, prog="ablation"))
        check(options)
        path = study(options)
    print(path.read_text(), path, sep="\n")


if __name__ == "__main__":
    main()
