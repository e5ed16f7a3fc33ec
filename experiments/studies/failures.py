"""Curves of three failures of adversarial training, each beside its cure.

Run:       python experiments/studies/failures.py                        (all three)
           python experiments/studies/failures.py --case collapse        (one failure)
Time:      about 4 min on two CPU cores (an estimate): nine runs of 15 to 45 seconds
Expect:    three figures that distinguish the failures; experiments/README.md explains them
Writes:    runs/failures/ with a working directory per run and a figure per case; --pictures DIR for the figures
Read:      jaxgan/methods/losses.py, jaxgan/methods/penalties.py
"""

import re
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # experiments/

import dcgan
import jax
import jax.numpy as jnp
import matplotlib
import numpy as np
import tyro
import vanilla_gan
import wgan
from matplotlib.figure import Figure

from jaxgan import data, figures
from jaxgan.config import Config
from jaxgan.errors import one_line_errors, parse
from jaxgan.figures.images import show_rows
from jaxgan.methods.method import Pixels
from jaxgan.methods.penalties import input_gradients, norms
from jaxgan.runs import tracking
from jaxgan.runs.diagnosis import mean_distance
from jaxgan.runs.flags import read_flags
from jaxgan.runs.launch import run, stopped_in_words
from jaxgan.runs.load import load_run
from jaxgan.runs.workdir import Workdir, load_config
from jaxgan.runtime.program import to_unit_range
from jaxgan.runtime.signals import exit_on_signals
from jaxgan.tiles import tile

SHOWN = 12  # samples of each run in the figure
MEASURED = 500  # real images for the measure beside them


def spread(folder: Workdir) -> str:
    """Measures the mean distance of samples relative to real images; it is 0 if latents have no effect."""
    samples = tracking.read_samples(folder)
    return f"{mean_distance(samples[max(samples)]) / mean_distance(held_out(folder)):.0%} of real spread"


def last_probability(folder: Workdir) -> str:
    """Reads the discriminator's last D(G(z)), which scales the gradient of a saturating loss."""
    return f"$D(G(z))$ = {tracking.read_rows(folder.metrics)[-1]['fake_probability']:.0e}"


def gradient_norm(folder: Workdir) -> str:
    """Measures the mean norm of the critic's gradient at real images, the signal for the generator."""
    trained = load_run(folder.root)
    module, variables = trained.method.networks["discriminator"].module, trained.state.discriminator.variables
    images = to_unit_range(jnp.asarray(held_out(folder)))
    gradients = jax.jit(lambda x: input_gradients(lambda y: module.apply(variables, y), x))(images)
    return f"gradient norm {float(jnp.mean(norms(gradients))):.2g}"


def held_out(folder: Workdir) -> Pixels:
    """Loads real held-out images of a run's data set."""
    made = load_config(folder).run
    return data.load(made.data, split="test", data_dir=made.data_dir).images[:MEASURED]


class Panel(NamedTuple):
    """One panel of the curves."""

    metric: str
    title: str
    scale: str = "linear"


class Case(NamedTuple):
    """A failure and its cure: runs that differ in a few flags."""

    title: str
    recipe: Config
    shared: str  # flags of all runs
    runs: Mapping[str, str]  # additional flags of each run, by label; the cure comes last
    panels: tuple[Panel, ...]
    measure: Callable[[Workdir], str]  # shows what the losses do not show


CASES = {
    "collapse": Case(
        "Mode collapse: many latents, few images",
        vanilla_gan.CONFIG,
        "--epochs 4",
        {
            "fast generator": "--generator-learning-rate 3e-2",
            "slow discriminator": "--discriminator-learning-rate 5e-5",
            "equal step sizes": "",
        },
        (Panel("generator_loss", "Generator's loss", "log"), Panel("fake_probability", "$D(G(z))$")),
        spread,
    ),
    "discriminator_wins": Case(
        "The discriminator wins: a saturated loss has no gradient",
        dcgan.CONFIG,
        "--width 8 --epochs 1",
        {
            "minimax loss": "--loss minimax --discriminator-learning-rate 2e-3",
            "non-saturating loss": "--loss non_saturating --discriminator-learning-rate 2e-3",
            "slower discriminator": "--loss non_saturating --discriminator-learning-rate 2e-4",
        },
        (Panel("generator_loss", "Generator's loss"), Panel("fake_probability", "$D(G(z))$", "log")),
        last_probability,
    ),
    "vanishing_gradient": Case(
        "Vanishing gradients: a critic bounded too tightly, or not at all",
        wgan.CONFIG,
        "--width 8 --epochs 1 --critic-steps 1 --learning-rate 5e-4",
        {
            "no penalty": "--penalty-weight 0",
            "clipped at 0.001": "--constraint clip --clip 1e-3",
            "gradient penalty": "--penalty-weight 10",
        },
        (Panel("wasserstein_estimate", "Wasserstein estimate", "symlog"),),
        gradient_norm,
    ),
}


@dataclass(frozen=True)
class Options:
    """Trains three failures of adversarial training and their cures, and draws both."""

    case: Literal["all", "collapse", "discriminator_wins", "vanishing_gradient"] = "all"  # which failure
    out: Path = Path("runs/failures")  # folder for the runs and the figures
    pictures: Path | None = None  # folder for the figures; None: the folder of the runs
    flags: str = ""  # additional flags of every run, such as "--epochs 20"


def commands(case: Case, *, out: Path, flags: str) -> dict[str, list[str]]:
    """Returns the flags of each run of a case, by label."""
    return {
        label: shlex.split(
            f"--workdir {shlex.quote(str(out / slug(label)))} --log-every 25 {case.shared} {extra} {flags}"
        )
        for label, extra in case.runs.items()
    }


def slug(label: str) -> str:
    """Turns a label into the name of a folder."""
    return re.sub(r"\W+", "_", label)


def train(case: Case, *, out: Path, flags: str) -> dict[str, Workdir]:
    """Trains or resumes every run of a case, as its recipe does."""
    folders = {}
    for label, argv in commands(case, out=out, flags=flags).items():
        print(f"\n{case.title}: {label}\npython experiments/{case.recipe.kind}.py {shlex.join(argv)}\n")
        config = read_flags(case.recipe, argv)
        with stopped_in_words("failures", config):
            folders[label] = Workdir(run(config))
    return folders


def draw(case: Case, folders: Mapping[str, Workdir]) -> Figure:
    """Draws the curves of all runs on shared axes, above the last samples of each run."""
    labels, samples = [], []
    for label, folder in folders.items():
        drawn = tracking.read_samples(folder)
        samples.append(drawn[max(drawn)][:SHOWN])
        labels.append(f"{label}\n{case.measure(folder)}")
    with matplotlib.rc_context(figures.STYLE):
        figure = Figure(figsize=(figures.WIDTH, 3.4 + 0.55 * len(folders)))
        figure.suptitle(case.title)
        above, below = figure.subfigures(2, 1, height_ratios=(3.2, 0.6 * len(folders)))
        for axes, panel in zip(above.subplots(1, len(case.panels), squeeze=False)[0], case.panels, strict=True):
            for label, folder in folders.items():
                rows = tracking.read_rows(folder.metrics)
                axes.plot([row["epoch"] for row in rows], [row[panel.metric] for row in rows], label=label)
            axes.set(title=panel.title, xlabel="epoch", yscale=panel.scale)
        above.legend(*axes.get_legend_handles_labels(), fontsize=9, loc="outside lower center", ncols=len(folders))
        shown = below.subplots()
        show_rows(shown, tile(np.concatenate(samples), columns=SHOWN), labels=labels)
        shown.tick_params(labelsize=9)
        return figure


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the study as a command."""
    with one_line_errors("failures"), exit_on_signals("failures"):
        options = parse(lambda: tyro.cli(Options, args=argv, prog="failures"))
        pictures = options.pictures or options.out
        pictures.mkdir(parents=True, exist_ok=True)
        for name in CASES if options.case == "all" else (options.case,):
            folders = train(CASES[name], out=options.out / name, flags=options.flags)
            print(figures.save(draw(CASES[name], folders), pictures / f"{name}.png"))


if __name__ == "__main__":
    main()
