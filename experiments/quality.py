"""How good are the samples of the chapter's methods, and of the recipe past it: all measured alike, beside real images.

Run:       python experiments/quality.py            (--help lists every flag)
           python experiments/quality.py --methods vanilla_gan dcgan --runs runs
Time:      as long as the recipes that are not finished yet, and half a minute a method to evaluate it
Expect:    a table of what each recipe cost and what 10,000 of its samples are worth, real images as the last row; how
           much closer to these each comes than the DCGAN; the Fréchet distance over seconds of training, a line for
           each run that was trained with --evaluate-every (as this script trains them) and a point for the others. A
           method that is not asked for keeps its row
Writes:    experiments/gallery/quality/ with report.md, results.json and quality.png; the folders of the recipes, and
           evaluation.json in each
"""

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import chapter
import r3gan
import tyro
from assessing import runs, tables
from assessing.standing import Closer, Standing, as_tree, closer, from_tree, standing

from jaxgan import figures
from jaxgan.config import Config
from jaxgan.data.catalog import find
from jaxgan.errors import UserError, one_line_errors, parse, unknown_choice
from jaxgan.evaluation import classifier
from jaxgan.evaluation.protocol import COUNT
from jaxgan.runtime import launch
from jaxgan.runtime.interrupts import sigterm_ends
from jaxgan.runtime.workdir import write_atomically

RECIPES: Mapping[str, Config] = {module.__name__: module.CONFIG for module in (*chapter.RECIPES, r3gan)}
HELD_AGAINST = "dcgan"
TRAINING_IMAGES = find("mnist").examples["train"]
EVALUATIONS = 8  # on the way of a run, about
METRICS = {
    "frechet_distance": ("Fréchet distance ↓", tables.distance),
    "kernel_distance": ("kernel distance ↓", tables.distance),
    "precision": ("precision ↑", tables.fraction),
    "recall": ("recall ↑", tables.fraction),
    "density": ("density ↑", tables.fraction),
    "coverage": ("coverage ↑", tables.fraction),
    "classifier_score": ("classifier score ↑", tables.distance),
    "largest_share_error": ("largest share error ↓", tables.fraction),
    "confident_fraction": ("confident ↑", tables.fraction),
}


@dataclass(frozen=True)
class Options:
    """Trains the recipes or takes finished runs, evaluates all alike, and writes a table and a figure."""

    methods: tuple[str, ...] = field(default=tuple(RECIPES))  # the recipes
    epochs: int | None = None  # at most so many epochs of each that is not finished; None: as many as it has
    seeds: int = 1  # how many times samples are drawn from each run; more than once gives mean and deviation
    runs: Path = Path("runs")  # folder with a folder for each recipe
    out: Path = Path("experiments/gallery/quality")  # folder for the report
    data_dir: Path | None = None  # folder of prepared TFDS data sets; None: TFDS_DATA_DIR or ~/tensorflow_datasets


def check(options: Options) -> None:
    """Raises UserError for the first option that is out of bounds."""
    for name in options.methods:
        if name not in RECIPES:
            raise unknown_choice("--methods", name, RECIPES)
    if not options.methods:
        raise UserError(f"--methods: none given, choose from {', '.join(RECIPES)}")
    if options.epochs is not None and options.epochs < 1:
        raise UserError(f"--epochs: {options.epochs} is not allowed, it must be at least 1")
    runs.check_seeds(options.seeds)


def config(name: str, options: Options) -> Config:
    """Makes the config of a recipe: a step size that falls does so until its last epoch."""
    recipe = RECIPES[name]
    epochs = min(recipe.run.epochs, options.epochs or recipe.run.epochs)
    run = dataclasses.replace(
        recipe.run,
        workdir=options.runs / recipe.run.workdir.name,
        epochs=epochs,
        sample_epochs=tuple(sorted({epoch for epoch in recipe.run.sample_epochs if epoch < epochs} | {epochs})),
        evaluate_every=math.ceil(epochs / EVALUATIONS),
        data_dir=options.data_dir,
    )
    method = recipe.method
    if getattr(method, "decay_steps", 0):
        method = dataclasses.replace(method, decay_steps=epochs * (TRAINING_IMAGES // run.batch_size))
    return Config(method=method, run=run)


def table(found: Mapping[str, Standing]) -> str:
    """Writes what each method cost and what its samples are worth, real images as the last row."""
    columns = ["method", "epochs", "seconds of training", "parameters of the generator"]
    columns += [*(label for label, _ in METRICS.values()), "measured"]
    rows = [
        [
            *(each.title, f"{each.epochs:g}", f"{each.seconds:,.0f}", f"{each.parameters:,}"),
            *(tables.measured(each.metrics[name], write) for name, (_, write) in METRICS.items()),
            each.measured[:10],
        ]
        for each in found.values()
    ]
    real = next(iter(found.values())).metrics
    floor = [
        "floor: training images",
        "",
        "",
        "",
        *(write(real[name]["floor"]) for name, (_, write) in METRICS.items()),
        "",
    ]
    return tables.markdown(columns, [*rows, floor])


def closeness(found: Mapping[str, Standing], compared: Mapping[str, Closer]) -> str:
    """Writes how many times closer to the floor than the DCGAN each method comes."""
    columns = ["method", "at the end", "seconds that both had", "Fréchet distance by then", "DCGAN's", "closer by then"]
    rows = [
        [
            found[name].title,
            ratio(each.at_the_end),
            f"{each.seconds:,.0f}",
            "not measured" if each.own is None else tables.distance(each.own),
            "not measured" if each.theirs is None else tables.distance(each.theirs),
            "" if each.own is None or each.theirs is None else ratio(each.at_equal_seconds),
        ]
        for name, each in compared.items()
    ]
    return tables.markdown(columns, rows)


def ratio(value: float | None) -> str:
    """Writes how many times closer, or that there is nothing left to come closer."""
    return "at the floor" if value is None else f"{tables.distance(value)}x"


def report(found: Mapping[str, Standing], compared: Mapping[str, Closer], about: Mapping[str, str], seeds: int) -> str:
    """Writes the report in Markdown.

    Args:
      found: where each method stands.
      compared: how each compares with the DCGAN; empty without that.
      about: what the numbers hold for.
      seeds: how many times samples were drawn.

    Returns:
      The report.
    """
    drawn = "drawn once" if seeds == 1 else f"drawn {seeds} times (mean ± deviation)"
    trained = ", ".join(f"{seed}" for seed in sorted({each.seed for each in found.values()}))
    parts = [
        "# Quality of samples\n",
        tables.header(about),
        f"{COUNT:,} samples, {drawn}, against the 10,000 test images, as `jaxgan evaluate` does it. Each method was "
        f"trained once (seed {trained}), so the numbers say nothing of how much another training seed would change "
        "them. The floor is as many training images in the place of samples. Numbers of different feature networks do "
        "not compare. Seconds are those of training, without evaluations, as each run noted them where it was trained, "
        "be it on this machine or on another.\n",
        table(found),
    ]
    if compared:
        parts += [
            "## Closer to the floor than the DCGAN\n",
            "The Fréchet distance of the DCGAN, less the floor's, divided by that of the method, less the floor's: at "
            "the end of each, and after as many seconds of training as both had, each by the latest evaluation that "
            "it had by then.\n",
            closeness(found, compared),
        ]
    parts.append("![The Fréchet distance over seconds of training, a line for each method](quality.png)\n")
    return "\n".join(parts)


def measured_before(path: Path, protocol: Mapping[str, Any]) -> dict[str, Standing]:
    """Reads the methods of a report made earlier, none if it was made by another protocol or not by this script.

    Args:
      path: its numbers.
      protocol: what has to be alike.

    Returns:
      Where each method stood, by name.
    """
    try:
        tree = json.loads(path.read_text())
        if any(tree["about"][name] != value for name, value in protocol.items()):
            return {}
        return {name: from_tree(each) for name, each in tree["methods"].items() if name in RECIPES}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def study(options: Options) -> Path:
    """Trains what is not finished, evaluates everything and writes the report.

    Args:
      options: which recipes, and where.

    Returns:
      The folder of the report.
    """
    features, wanted = classifier.load("mnist").version, {name: config(name, options) for name in options.methods}
    options.out.mkdir(parents=True, exist_ok=True)
    for missing in [
        each for each in wanted.values() if not chapter.finished(each)
    ]:  # all are looked at before any runs
        with launch.stopped_in_words("quality", missing):
            launch.run(missing)
    about = tables.about(features)
    protocol = {"features": features, "samples": COUNT, "seeds": options.seeds}
    found = measured_before(options.out / "results.json", protocol)
    for name in (name for name in RECIPES if name in wanted):
        print(f"{wanted[name].method.title} ...", flush=True)
        folder = wanted[name].run.workdir
        evaluation = runs.evaluate(folder, seeds=range(options.seeds), data_dir=options.data_dir)
        found[name] = standing(folder, evaluation, measured=about["date"])
    found = {name: found[name] for name in RECIPES if name in found}
    floor = next(iter(found.values())).metrics["frechet_distance"]["floor"]
    compared = {}
    if HELD_AGAINST in found:
        theirs = found[HELD_AGAINST].curve
        compared = {n: closer(each.curve, theirs, floor=floor) for n, each in found.items() if n != HELD_AGAINST}
    tree = {
        "about": about | protocol,
        "methods": {name: as_tree(each) for name, each in found.items()},
        "closer_to_the_floor_than_dcgan": {name: each._asdict() for name, each in compared.items()},
    }
    picture = figures.quality(
        {each.title: each.curve for each in found.values()}, floor=floor, title="Quality of samples over training"
    )
    figures.save(picture, options.out / "quality.png")
    write_atomically(options.out / "results.json", json.dumps(tree, indent=2) + "\n")
    write_atomically(options.out / "report.md", report(found, compared, about, options.seeds))
    return options.out


def main(argv: Sequence[str] | None = None) -> None:
    """Trains, evaluates and writes the report, as a command."""
    with one_line_errors("quality"), sigterm_ends("quality"):
        options = parse(lambda: tyro.cli(Options, args=argv, prog="quality"))
        check(options)
        out = study(options)
        print(
            (out / "report.md").read_text(),
            *(out / name for name in ("report.md", "results.json", "quality.png")),
            sep="\n",
        )


if __name__ == "__main__":
    main()
