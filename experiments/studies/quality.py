"""The quality of samples: every method of the chapter and the recipe past it, on one scale with real images.

Run:       python experiments/studies/quality.py        (--help lists every flag)
           python experiments/studies/quality.py --methods vanilla_gan dcgan
Time:      that of the recipes that are not finished yet (about an hour for all, on two CPU cores), and half a minute
           to evaluate each
Expect:    a table of cost and quality with real images as its last row, and the Fréchet distance over seconds of
           training; numbers: experiments/gallery/quality/report.md
Writes:    runs/quality/ (or --out) with report.md, results.json and quality.png; the folders of the recipes, and
           evaluation.json in each
"""

import json
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # experiments/

import chapter
import flow_matching
import r3gan
from studies import machine, markdown, training
from studies.figures import quality as draw
from studies.training import MAIN, MORE, Points, Result

from jaxgan import figures
from jaxgan.config import Config
from jaxgan.evaluation.protocol import COUNT
from jaxgan.runs.workdir import write_atomically

RECIPES: Mapping[str, Config] = {module.__name__: module.CONFIG for module in (*chapter.RECIPES, r3gan, flow_matching)}
REFERENCE = "dcgan"
EVALUATIONS = 8  # in training, about


@dataclass(frozen=True)
class Options:
    """Trains the recipes or takes finished runs, evaluates all alike, and writes tables and a figure."""

    methods: tuple[str, ...] = field(default=tuple(RECIPES))  # recipes to train; finished ones are in the table, too
    epochs: int | None = None  # at most so many epochs of each; None: as many as the recipe has
    seeds: int = 1  # how many times samples are drawn from each run; more than once gives mean and deviation
    samples: int = COUNT  # images drawn each time
    runs: Path = Path("runs")  # folder with a folder for each recipe
    out: Path = Path("runs/quality")  # folder for the report
    data_dir: Path | None = None  # folder of prepared TFDS data sets; None: TFDS_DATA_DIR or ~/tensorflow_datasets


def configs(options: Options) -> dict[str, Config]:
    """Makes the config of every recipe, evaluated in training."""
    most = math.inf if options.epochs is None else options.epochs
    epochs = {name: min(recipe.run.epochs, most) for name, recipe in RECIPES.items()}
    return {
        name: training.with_epochs(
            recipe,
            epochs[name],
            workdir=options.runs / name,
            evaluate_every=math.ceil(epochs[name] / EVALUATIONS),
            data_dir=options.data_dir,
        )
        for name, recipe in RECIPES.items()
    }


def relative(own: Points, other: Points, *, floor: float) -> tuple[str, str]:
    """Divides the distance of another run above the floor by that of a run.

    Args:
      own: (seconds, Fréchet distance) of the run, the last point at its end.
      other: the same of the other.
      floor: the Fréchet distance of real images.

    Returns:
      The ratio at the end of each, and by the latest measurements after as many seconds as both had, as text.
    """

    def ratio(mine: float, theirs: float) -> str:
        return markdown.number((theirs - floor) / (mine - floor)) if mine > floor else "at the floor"

    seconds = min(own[-1][0], other[-1][0])
    then = [[value for at, value in points if at <= seconds][-1:] for points in (own, other)]
    equal = ratio(then[0][0], then[1][0]) if all(then) else "not measured"
    return ratio(own[-1][1], other[-1][1]), f"{equal} ({seconds:,.0f} s)"


def report(found: Mapping[str, Result | str], *, seeds: int = 1, samples: int = COUNT) -> str:
    """Writes the report in Markdown from results by name; a text is for a run that diverged."""
    main, more, other = [], [], found.get(REFERENCE)
    for name, each in found.items():
        cost, against = ["", "", ""], ["", ""]
        if isinstance(each, Result):
            cost = [f"{each.epochs:g}", f"{each.seconds:,.0f}", f"{each.parameters:,}"]
            if isinstance(other, Result) and name != REFERENCE:
                floor = other.metrics["frechet_distance"]["floor"]
                against = relative(each.curve, other.curve, floor=floor)
        title = RECIPES[name].method.title
        main.append([title, *cost, *training.cells(each, MAIN), *against])
        more.append([title, *training.cells(each, MORE)])
    main.append(["floor: training images", *[""] * 3, *training.floor_cells(found, MAIN), *[""] * 2])
    more.append(["floor: training images", *training.floor_cells(found, MORE)])
    cost, against = ["epochs", "seconds", "parameters"], ["ratio to DCGAN", "at equal seconds"]
    return markdown.document(
        "# Quality of samples",
        machine.describe("jax", "flax", "jaxgan"),
        f"{training.protocol_text(seeds, samples)} Each method was trained once, so differences between training seeds "
        "are not in these numbers. Seconds are those of training, without evaluations, on the machine that trained. "
        "Parameters are those of the generator. Ratio to DCGAN: the DCGAN's Fréchet distance above the floor, divided "
        "by the method's, at the end of both and at equal seconds of training.",
        markdown.table(["method", *cost, *training.labels(MAIN), *against], main),
        "![The Fréchet distance over seconds of training, a line for each method](quality.png)",
        markdown.details("More metrics", markdown.table(["method", *training.labels(MORE)], more)),
    )


def study(options: Options) -> Path:
    """Trains, evaluates and writes the report, anew after each method."""
    epochs = 1 if options.epochs is None else options.epochs
    training.check("--methods", options.methods, RECIPES, options.samples, seeds=options.seeds, epochs=epochs)
    how = {"seeds": options.seeds, "samples": options.samples}
    for found in training.results(configs(options), options.methods, program="quality", **how):
        options.out.mkdir(parents=True, exist_ok=True)
        tree = {name: each if isinstance(each, str) else each._asdict() for name, each in found.items()}
        write_atomically(options.out / "results.json", json.dumps(how | {"results": tree}, indent=2) + "\n")
        write_atomically(options.out / "report.md", report(found, **how))
        curves = {RECIPES[name].method.title: each.curve for name, each in found.items() if isinstance(each, Result)}
        if curves:
            floor = next(each["metrics"]["frechet_distance"]["floor"] for each in tree.values() if "metrics" in each)
            picture = draw(curves, floor=floor, title="Quality of samples over training")
            figures.save(picture, options.out / "quality.png")
    return options.out / "report.md"


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the study as a command."""
    training.command("quality", Options, study, argv)


if __name__ == "__main__":
    main()
