"""The quality of samples: every method of the chapter and the recipes past it, on one scale with real images.

Run:       python experiments/studies/quality.py        (--help lists every flag)
           python experiments/studies/quality.py --methods dcgan wgan --out experiments/gallery/quality
                                                         (these rows anew; the report keeps the others)
           python experiments/studies/quality.py --seeds 1 --data fashion_mnist --runs runs/fashion --out runs/fashion
Time:      that of the recipes that are not finished yet, once for each seed: hours for all. Half a minute to
           evaluate each
Expect:    a table of cost and quality with real images as its last row, and the Fréchet distance over seconds of
           training; numbers: experiments/gallery/quality/report.md
Writes:    runs/quality/ (or --out) with report.md, results.json and quality.png, anew after each method; runs/quality/
           (or --runs) with a folder for each recipe
"""

import dataclasses
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
from studies.training import MAIN, MORE, Points, Result, Results

from jaxgan import figures
from jaxgan.config import Config, validate
from jaxgan.evaluation.protocol import COUNT
from jaxgan.runs.workdir import write_atomically

RECIPES: Mapping[str, Config] = {module.__name__: module.CONFIG for module in (*chapter.RECIPES, r3gan, flow_matching)}
SEEDS = {"autoencoder": 5, "vae": 5, "vanilla_gan": 5}  # of fully connected networks; of the others
OTHERS = 3
REFERENCE = "dcgan"
EVALUATIONS = 4  # in training, about


@dataclass(frozen=True)
class Options:
    """Trains the recipes or takes finished runs, evaluates all alike, and writes tables and a figure."""

    methods: tuple[str, ...] = field(default=tuple(RECIPES))  # rows to make; the report keeps its others
    seeds: int | None = (
        None  # training seeds, as replicas of one run; None: 5 for fully connected networks, 3 for others
    )
    data: str = "mnist"  # data set, for which there must be a classifier
    samples: int = COUNT  # images drawn from each run
    runs: Path = Path("runs/quality")  # folder with a folder for each recipe
    out: Path = Path("runs/quality")  # folder for the report
    data_dir: Path | None = None  # folder of prepared TFDS data sets; None: TFDS_DATA_DIR or ~/tensorflow_datasets


def config(name: str, options: Options) -> Config:
    """Makes the config of a recipe, evaluated in training."""
    recipe = RECIPES[name]
    run = {"workdir": options.runs / name, "data": options.data, "data_dir": options.data_dir}
    run |= {"evaluate_every": math.ceil(recipe.run.epochs / EVALUATIONS)}
    run |= {"replicas": options.seeds or SEEDS.get(name, OTHERS)}
    made = dataclasses.replace(recipe, run=dataclasses.replace(recipe.run, **run))
    validate(made)
    return made


def title(name: str) -> str:
    """The name of a recipe's method, and that it sees labels if it does."""
    method = RECIPES[name].method
    return f"{method.title} (on labels)" if getattr(method, "conditional", False) else method.title


def relative(own: Points, other: Points, *, floor: float) -> tuple[str, str]:
    """Divides another run's distance above the floor by a run's: at the end of each, and after equal seconds."""

    def ratio(mine: float, theirs: float) -> str:
        return markdown.number((theirs - floor) / (mine - floor)) if mine > floor else "at the floor"

    seconds = min(own[-1][0], other[-1][0])
    then = [[value for at, value in points if at <= seconds][-1:] for points in (own, other)]
    equal = ratio(then[0][0], then[1][0]) if all(then) else "not measured"
    return ratio(own[-1][1], other[-1][1]), f"{equal} ({seconds:,.0f} s)"


def report(found: Results, *, samples: int = COUNT, data: str = "mnist") -> str:
    """Writes the report in Markdown from results by name."""
    main, more, other = [], [], found.get(REFERENCE)
    for name, each in found.items():
        cost, against, measured = ["", "", "", ""], ["", ""], ""
        if isinstance(each, Result):
            cost = [each.seeds, f"{each.epochs:g}", f"{each.seconds:,.0f}", f"{each.parameters:,}"]
            measured = each.measured
            if isinstance(other, Result) and name != REFERENCE:
                against = relative(each.curve, other.curve, floor=other.metrics["frechet_distance"]["floor"])
        main.append([title(name), *cost, *training.cells(each, MAIN), *against])
        more.append([title(name), *training.cells(each, MORE), measured])
    main.append(["floor: training images", *[""] * 4, *training.floor_cells(found, MAIN), *[""] * 2])
    more.append(["floor: training images", *training.floor_cells(found, MORE), ""])
    cost, against = ["seeds", "epochs", "seconds", "parameters"], ["ratio to DCGAN", "at equal seconds"]
    return markdown.document(
        "# Quality of samples",
        machine.describe("jax", "flax", "jaxgan"),
        f"{training.protocol_text(samples, data)} Means ± deviations are over training seeds. Seconds are those of "
        "training, without evaluations, for each seed. Parameters are those of the generator. Ratio to DCGAN: the "
        "DCGAN's Fréchet distance above the floor, divided by the method's, at the end of both and at equal seconds of "
        "training. R3GAN's labels and prior were chosen on the last 10,000 training images (`mnist_held_out`); its "
        "other settings have seen the test images. [Beside PyTorch's samples](twins.md).",
        markdown.table(["method", *cost, *training.labels(MAIN), *against], main),
        "![The Fréchet distance over seconds of training, a line for each method](quality.png)",
        markdown.details("More metrics", markdown.table(["method", *training.labels(MORE), "measured"], more)),
    )


def study(options: Options) -> Path:
    """Trains, evaluates and writes the report, anew after each method."""
    least_one = {} if options.seeds is None else {"seeds": options.seeds}
    training.check("--methods", options.methods, RECIPES, options.samples, **least_one)
    configs = {name: config(name, options) for name in RECIPES}
    how = {"path": options.out / "results.json", "program": "quality", "samples": options.samples}
    for found in training.results(configs, options.methods, **how):
        write_atomically(options.out / "report.md", report(found, samples=options.samples, data=options.data))
        done = {title(name): each for name, each in found.items() if isinstance(each, Result)}
        if done:
            floor = next(iter(done.values())).metrics["frechet_distance"]["floor"]
            curves = {title: each.curve for title, each in done.items()}
            picture = draw(curves, floor=floor, title="Quality of samples over training")
            figures.save(picture, options.out / "quality.png")
    return options.out / "report.md"


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the study as a command."""
    training.command("quality", Options, study, argv)


if __name__ == "__main__":
    main()
