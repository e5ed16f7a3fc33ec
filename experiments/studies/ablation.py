"""Ablation of the recipe with the R3GAN objective: one part removed or changed at a time, each by fields of its config.

Run:       python experiments/studies/ablation.py       (--help lists every flag)
           python experiments/studies/ablation.py --rows full no_ema --epochs 2
Needs:     the classifier of the data set: python experiments/digit_classifier.py --data mnist_held_out
Time:      1 to 3 min per row and epoch on two CPU cores, and half a minute per row for the evaluation
Expect:    a table of all rows trained so far for this number of epochs; learning rates decay to 0 within these
           epochs, except in the row with constant rates; numbers: experiments/gallery/quality/ablation.md
Writes:    runs/ablation/ROW/, a working directory per row; ablation.md and results_N_epochs.json in runs/ablation/
           (or in --out)
"""

import dataclasses
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # experiments/

import r3gan
from studies import machine, markdown, training
from studies.training import MAIN, SHORT, Result, Results

from jaxgan.config import Config, validate
from jaxgan.evaluation.protocol import COUNT
from jaxgan.runs.workdir import write_atomically


class Row(NamedTuple):
    """A change to the recipe: its title, and the changed fields of the method or the run."""

    title: str
    method: Mapping[str, Any] = {}
    run: Mapping[str, Any] = {}


ROWS = {
    "full": Row("the recipe"),
    "non_saturating": Row("non-saturating loss", {"loss": "non_saturating"}),
    "no_r2": Row("without R2", {"r2_weight": 0.0}),
    "no_penalties": Row("without R1 and R2", {"r1_weight": 0.0, "r2_weight": 0.0}),
    "no_ema": Row("last generator instead of the average", {"ema_decay": 0.0}),
    "batch_norm": Row("batch normalization", {"generator_norm": "batch", "discriminator_norm": "batch"}),
    "generator_batch_norm": Row("batch normalization in the generator only", {"generator_norm": "batch"}),
    "rates_4e-3": Row(
        "twice the learning rates", {"generator_learning_rate": 4e-3, "discriminator_learning_rate": 4e-3}
    ),
    "latent_64": Row("twice the latents", {"latent_size": 64}),
    "constant": Row("constant learning rates", {"decay_steps": 0}),
    "width_16": Row("half the width", {"width": 16}),
    "normal": Row("normal prior", {"prior": "normal"}),
    "no_labels": Row("without labels", {"conditional": False}),
    "clusters": Row("ten clusters of latents instead of labels", {"conditional": False, "prior": "mixture"}),
    "batch_64": Row("batch size 64", run={"batch_size": 64}),
}


@dataclass(frozen=True)
class Options:
    """Trains the recipe with one change at a time, evaluates all runs in the same way, and writes a table."""

    rows: tuple[str, ...] = field(default=tuple(ROWS))  # rows to train; other rows of the table are kept
    epochs: int = 2  # passes over the training images; learning rates decay within them
    data: str = "mnist_held_out"  # data set with a classifier; the default does not use the test images
    samples: int = COUNT  # images drawn from each run
    runs: Path = Path("runs/ablation")  # folder with one working directory per row
    out: Path = Path("runs/ablation")  # folder for the table
    data_dir: Path | None = None  # folder of prepared TFDS data sets; None: TFDS_DATA_DIR or ~/tensorflow_datasets


def config(row: str, options: Options) -> Config:
    """Makes the config of a row: the recipe at the rates of short runs, with the number of epochs and the change."""
    run = {"workdir": options.runs / row, "data": options.data, "data_dir": options.data_dir, **ROWS[row].run}
    recipe = training.with_epochs(r3gan.CONFIG, options.epochs, **run)
    made = dataclasses.replace(recipe, method=dataclasses.replace(recipe.method, **{**SHORT, **ROWS[row].method}))
    validate(made)
    return made


def flags(row: Row) -> str:
    """Formats the change as flags of the recipe."""
    flags = [(name.replace("_", "-"), value) for name, value in {**row.method, **row.run}.items()]
    return " ".join(f"`--no-{name}`" if value is False else f"`--{name} {value}`" for name, value in flags)


def report(results: Results, *, epochs: int, samples: int = COUNT, data: str = "mnist") -> str:
    """Formats the results by row as a Markdown table."""
    rows = []
    for name, result in results.items():
        seconds = f"{result.seconds:.0f}" if isinstance(result, Result) else ""
        rows.append([ROWS[name].title, flags(ROWS[name]), *training.cells(result, MAIN), seconds])
    rows.append(["floor: training images", "", *training.floor_cells(results, MAIN), ""])
    return markdown.document(
        "# Ablation of the recipe with the R3GAN objective",
        machine.describe("jax", "flax", "jaxgan"),
        "Each row is the recipe of `experiments/r3gan.py` with a uniform prior, penalties of weight 0.2, no "
        "cross-entropy of classes and learning rates of 2e-3, with one change, trained once for "
        f"{'1 epoch' if epochs == 1 else f'{epochs} epochs'}. Small differences may be chance. "
        f"Learning rates decay to 0 within these epochs unless constant. {training.protocol_text(samples, data)}",
        markdown.table(["row", "change", *training.labels(MAIN), "seconds of training"], rows, align="ll" + 5 * "r"),
    )


def study(options: Options) -> Path:
    """Trains and evaluates the rows, and updates the table after each."""
    training.check("--rows", options.rows, ROWS, options.samples, epochs=options.epochs)
    made, path = {row: [config(row, options)] for row in ROWS}, options.out / "ablation.md"
    how = {
        "path": options.out / f"results_{options.epochs}_epochs.json",
        "program": "ablation",
        "samples": options.samples,
    }
    for results in training.results(made, options.rows, **how):
        text = report(results, epochs=options.epochs, samples=options.samples, data=options.data)
        write_atomically(path, text)
    return path


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the study as a command."""
    training.command("ablation", Options, study, argv)


if __name__ == "__main__":
    main()
