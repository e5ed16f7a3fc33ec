"""Sample quality of every method of the chapter and the recipes past it, on one scale with real images.

Run:       python experiments/studies/quality.py        (--help lists every flag)
           python experiments/studies/quality.py --methods dcgan wgan --out experiments/gallery/quality
                                                         (updates these rows of the report)
           python experiments/r3gan.py --seed 1 --evaluate-every 6 --workdir runs/quality/r3gan_1
           python experiments/studies/quality.py --methods r3gan --apart
                                                         (uses runs trained one by one, or several at a time)
           python experiments/studies/quality.py --seeds 1 --data fashion_mnist --runs runs/fashion --out runs/fashion
Time:      the time of all unfinished recipes, per seed: hours for all. Half a minute per evaluation
Expect:    a table of cost and quality with real images as the last row, the Fréchet distance over training time, and
           samples of each method; numbers: experiments/gallery/quality/report.md
Writes:    runs/quality/ (or --out) with report.md, results.json, quality.png and samples.png, updated after each
           method; runs/quality/ (or --runs) with a working directory per recipe
"""

import dataclasses
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # experiments/

import chapter
import flow_matching
import r3gan
import vae
from studies import machine, markdown, training
from studies.figures import quality as draw
from studies.training import MAIN, MORE, Points, Result, Results

from jaxgan import data, figures
from jaxgan.config import Config, validate
from jaxgan.data.catalog import find
from jaxgan.evaluation.protocol import COUNT
from jaxgan.runs import tracking
from jaxgan.runs.workdir import Workdir, write_atomically


def on_labels(recipe: Config, **options: Any) -> Config:
    """Makes a recipe class-conditional, with further options of its method."""
    return Config(dataclasses.replace(recipe.method, conditional=True, **options), recipe.run)


RECIPES: Mapping[str, Config] = {
    **{module.__name__: module.CONFIG for module in (*chapter.RECIPES, r3gan, flow_matching)},
    "conditional_vae": on_labels(vae.CONFIG),
    "conditional_flow_matching": on_labels(flow_matching.CONFIG, guidance=2.0),
}
# Number of training seeds: of fully connected networks, and of all other networks.
SEEDS, OTHERS = {"autoencoder": 5, "vae": 5, "conditional_vae": 5, "vanilla_gan": 5}, 3
REFERENCE = "dcgan"
EVALUATIONS = 4  # approximate number during training
COLUMNS = 16  # samples of each method


@dataclass(frozen=True)
class Options:
    """Trains the recipes or reuses finished runs, evaluates all in the same way, and writes tables and a figure."""

    methods: tuple[str, ...] = field(default=tuple(RECIPES))  # rows to make; other rows of the report are kept
    seeds: int | None = None  # number of training seeds; None: 5 for fully connected networks, 3 for others
    apart: bool = False  # train each seed as a separate run, RECIPE_SEED, instead of replicas in one run
    data: str = "mnist"  # data set with a classifier
    samples: int = COUNT  # images drawn from each run
    runs: Path = Path("runs/quality")  # folder with one working directory per recipe
    out: Path = Path("runs/quality")  # folder for the report
    data_dir: Path | None = None  # folder of prepared TFDS data sets; None: TFDS_DATA_DIR or ~/tensorflow_datasets


def configs(name: str, options: Options) -> list[Config]:
    """Makes the configs of a recipe's runs, with evaluations during training."""
    recipe, count = RECIPES[name], options.seeds or SEEDS.get(name, OTHERS)
    run = {"data": options.data, "data_dir": options.data_dir}
    run |= {"evaluate_every": math.ceil(recipe.run.epochs / EVALUATIONS)}
    seeds = [{"seed": seed, "workdir": options.runs / f"{name}_{seed}"} for seed in range(count)]
    runs = seeds if options.apart else [{"workdir": options.runs / name, "replicas": count}]
    made = [dataclasses.replace(recipe, run=dataclasses.replace(recipe.run, **run, **each)) for each in runs]
    for each in made:
        validate(each)
    return made


def title(name: str) -> str:
    """Returns the title of a recipe's method, marked if the method is class-conditional."""
    method = RECIPES[name].method
    return f"{method.title} (on labels)" if getattr(method, "conditional", False) else method.title


def relative(curve: Points, reference: Points, *, floor: float) -> tuple[str, str]:
    """Divides a reference's distance above the floor by that of a run, at both ends and after equal seconds."""

    def ratio(value: float, base: float) -> str:
        return markdown.number((base - floor) / (value - floor)) if value > floor else "at the floor"

    seconds = min(curve[-1][0], reference[-1][0])
    last = [[value for at, value in points if at <= seconds][-1:] for points in (curve, reference)]
    equal = ratio(last[0][0], last[1][0]) if all(last) else "not measured"
    return ratio(curve[-1][1], reference[-1][1]), f"{equal} ({seconds:,.0f} s)"


def sample_rows(names: Sequence[str], options: Options) -> dict[str, tracking.Images]:
    """Reads real images and the last samples of each run, by label; a run whose folder is gone has no row."""
    real = data.load(options.data, split="test", data_dir=options.data_dir)
    rows = {"real images": real.images[:COLUMNS]}
    for name in names:
        for apart in (options.apart, not options.apart):
            run = configs(name, dataclasses.replace(options, apart=apart))[0].run
            if found := tracking.read_samples(Workdir(run.workdir), 0 if run.replicas > 1 else None):
                rows.setdefault(title(name), found[max(found)][:COLUMNS])
    return rows


def report(results: Results, *, samples: int = COUNT, data_set: str = "mnist") -> str:
    """Formats the results by name as a Markdown report."""
    main, more, reference = [], [], results.get(REFERENCE)
    for name, result in results.items():
        cost, against, measured = ["", "", "", ""], ["", ""], ""
        if isinstance(result, Result):
            cost = [result.seeds, f"{result.epochs:g}", f"{result.seconds:,.0f}", f"{result.parameters:,}"]
            measured = result.measured
            if isinstance(reference, Result) and name != REFERENCE:
                floor = reference.metrics["frechet_distance"]["floor"]
                against = relative(result.curve, reference.curve, floor=floor)
        main.append([title(name), *cost, *training.cells(result, MAIN), *against])
        more.append([title(name), *training.cells(result, MORE), measured])
    main.append(["floor: training images", *[""] * 4, *training.floor_cells(results, MAIN), *[""] * 2])
    more.append(["floor: training images", *training.floor_cells(results, MORE), ""])
    cost, against = ["seeds", "epochs", "seconds", "parameters"], ["ratio to DCGAN", "at equal seconds"]
    heading = "# Quality of samples"
    provenance = (
        "The labels, the prior and the weights in the loss of the R3GAN objective were selected on the last 10,000 "
        "training images (`mnist_held_out`); its other settings are not independent of the test images. "
        "[Comparison with PyTorch's samples](twins.md)."
    )
    if data_set != "mnist":
        heading = f"{heading}: {find(data_set).title}"
        provenance = "All settings are those that were chosen on MNIST."
    return markdown.document(
        heading,
        machine.describe("jax", "flax", "jaxgan"),
        f"{training.protocol_text(samples, data_set)} Means ± standard deviations are over training seeds. Seconds of "
        "training are per seed, exclude evaluations, and are longer where runs shared the machine. Parameters are "
        "those of the generator. Ratio to DCGAN: the DCGAN's Fréchet distance above the floor, divided by that of the "
        f"method, at the end of both runs and at equal training time. {provenance}",
        markdown.table(["method", *cost, *training.labels(MAIN), *against], main),
        "![The Fréchet distance over seconds of training, a line for each method](quality.png)",
        "![Real images above samples of each method, not selected](samples.png)",
        markdown.details("More metrics", markdown.table(["method", *training.labels(MORE), "measured"], more)),
    )


def study(options: Options) -> Path:
    """Trains and evaluates the methods, and updates the report after each."""
    least_one = {} if options.seeds is None else {"seeds": options.seeds}
    training.check("--methods", options.methods, RECIPES, options.samples, **least_one)
    runs = {name: configs(name, options) for name in RECIPES}
    how = {"path": options.out / "results.json", "program": "quality", "samples": options.samples}
    for results in training.results(runs, options.methods, **how):
        write_atomically(options.out / "report.md", report(results, samples=options.samples, data_set=options.data))
        done = {title(name): result for name, result in results.items() if isinstance(result, Result)}
        if done:
            floor = next(iter(done.values())).metrics["frechet_distance"]["floor"]
            curves = {title: result.curve for title, result in done.items()}
            picture = draw(curves, floor=floor, title="Quality of samples over training")
            figures.save(picture, options.out / "quality.png")
            rows = sample_rows(list(results), options)
            figures.save(figures.sample_rows(rows, title="Samples, not selected"), options.out / "samples.png")
    return options.out / "report.md"


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the study as a command."""
    training.command("quality", Options, study, argv)


if __name__ == "__main__":
    main()
