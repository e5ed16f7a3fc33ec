"""Stacked MNIST: how many of the thousand combinations of three digits a GAN comes to draw, and how evenly.

Run:       python experiments/stacked_mnist.py --method dcgan      (or wgan, or r3gan; --help lists every flag)
Data:      a digit in each of three channels, put together anew in every epoch
Measure:   each channel of 26,000 samples is given to the digit classifier; a combination that occurs is a mode found,
           and the KL divergence of all frequencies from uniform ones says how evenly
Time:      1 min 30 s an epoch of R3GAN, 2 min of DCGAN, on one CPU core, and a minute to count
Expect:    a table of the methods that were run so far, beside real digits and published figures; after two epochs R3GAN
           has 999 modes and a divergence of 0.28 nats, WGAN-GP 676 and 1.99, DCGAN 641 and 1.42
Writes:    runs/stacked_mnist/METHOD/ with what every run writes, and modes.json; runs/stacked_mnist/table.md and .json
"""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import dcgan
import numpy as np
import r3gan
import tyro
import wgan

from jaxgan import data
from jaxgan.config import Config
from jaxgan.data.catalog import find
from jaxgan.data.stacking import stacked_order
from jaxgan.errors import UserError, one_line_errors, parse
from jaxgan.evaluation import classifier
from jaxgan.evaluation.classifier import FeatureNetwork
from jaxgan.evaluation.protocol import measure_stacked
from jaxgan.runtime import finished, launch, tracking
from jaxgan.runtime.assessment import drawer
from jaxgan.runtime.interrupts import sigterm_ends
from jaxgan.runtime.workdir import Workdir, write_atomically

TRAINING_IMAGES = find("mnist").examples["train"]
# Three digits are more than ten clusters tell apart, and take three times as many latents.
LATENTS = {"latent_size": 3 * r3gan.CONFIG.method.latent_size, "latent_law": "uniform", "truncation": 1.0}
RECIPES: Mapping[str, Config] = {
    "dcgan": dcgan.CONFIG,
    "wgan": wgan.CONFIG,
    "r3gan": dataclasses.replace(r3gan.CONFIG, method=dataclasses.replace(r3gan.CONFIG.method, **LATENTS)),
}

PUBLISHED = {  # modes found and KL divergence, as Huang et al. 2024 (The GAN is dead; long live the GAN!) list them
    "DCGAN": (99, 3.40),
    "VEEGAN": (150, 2.95),
    "PacGAN": (992, 0.28),
    "WGAN-GP": (959, 0.73),
    "StyleGAN2": (940, 0.42),
    "R3GAN": (1000, 0.029),
}

DIFFERENCES = """\
The published figures give the scale, and differ from ours in more than the method: they come from other networks,
mostly larger, that were trained for longer, and from classifiers of their own, and were not all measured alike. Ours
are of the chapter's small networks, one seed and the steps in the table (a WGAN's are those of its critic), by the
classifier of this package. Training images are often a fixed set of stacks; ours are put together anew in every epoch.
What is alike is to count the modes of 26,000 samples. So few never fill 1,000 modes evenly, and the digits of MNIST are
not equally frequent: real images do not reach a divergence of 0 either, and their row is what a perfect generator has.
"""


@dataclass(frozen=True)
class Options:
    """Trains a method on Stacked MNIST, or takes its finished run, and counts the modes that it found."""

    method: Literal["dcgan", "wgan", "r3gan"] = "dcgan"  # what to train
    epochs: int = 10  # passes over the training images
    seed: int = 0  # of the run, and of the samples
    samples: int = 26_000  # images to count modes in; published figures have as many
    devices: int | None = None  # devices to train on; None: as many as divide the batch
    out: Path = Path("runs/stacked_mnist")  # folder with a folder for each method, and the table
    data_dir: Path | None = None  # folder of prepared TFDS data sets; None: TFDS_DATA_DIR or ~/tensorflow_datasets


def config(options: Options) -> Config:
    """Makes the config of the run from the method's recipe; a step size that falls does so until the last step."""
    recipe, epochs = RECIPES[options.method], options.epochs
    run = dataclasses.replace(
        recipe.run,
        workdir=options.out / options.method,
        data="stacked_mnist",
        data_dir=options.data_dir,
        epochs=epochs,
        seed=options.seed,
        devices=options.devices,
        sample_epochs=tuple(sorted({1, max(1, epochs // 2), max(1, epochs)})),
    )
    method = recipe.method
    if getattr(method, "decay_steps", 0):
        method = dataclasses.replace(method, decay_steps=max(1, epochs * (TRAINING_IMAGES // run.batch_size)))
    return Config(method=method, run=run)


def measured(folder: Path, *, network: FeatureNetwork, options: Options) -> dict[str, Any]:
    """Counts the modes of a finished run.

    Args:
      folder: the run's.
      network: the feature network of single digits.
      options: how many samples to draw, from which seed.

    Returns:
      What goes into the table.
    """
    run = finished.load(folder)
    images = drawer(run.method)(run.state, options.seed, options.samples)
    seconds = max((row["seconds"] for row in tracking.read_rows(Workdir(folder).timings)), default=0.0)
    about = {
        "title": run.config.method.title,
        "steps": run.step,
        "seconds": seconds,
        "seed": options.seed,
        "samples": len(images),
    }
    return about | {"features": network.version} | measure_stacked(images, network)


def floor(network: FeatureNetwork, options: Options) -> dict[str, float]:
    """Counts the modes of as many stacks of real digits."""
    parts = data.load("stacked_mnist", data_dir=options.data_dir)
    epochs = range(-(-options.samples // parts.size))
    chosen = np.concatenate([stacked_order(parts, seed=0, epoch=epoch) for epoch in epochs], axis=1)
    rows = chosen[:, : options.samples]
    return measure_stacked(np.concatenate([parts.images[row] for row in rows], axis=-1), network)


def table(found: Sequence[Mapping[str, Any]], real: Mapping[str, float]) -> str:
    """Writes the table in Markdown.

    Args:
      found: what was measured of each run.
      real: the same of real digits.

    Returns:
      The table, its protocol, and in what the published figures differ.
    """
    lines = ["| model | modes of 1,000 | KL, nats | steps | minutes |", "|---|--:|--:|--:|--:|"]
    lines += [
        f"| {row['title']} | {row['modes_found']:,.0f} | {row['modes_divergence']:.3f} "
        f"| {row['steps']:,} | {row['seconds'] / 60:.1f} |"
        for row in found
    ]
    lines.append(f"| real digits | {real['modes_found']:,.0f} | {real['modes_divergence']:.3f} | | |")
    lines += [f"| {name}, published | {modes:,} | {kl:g} | | |" for name, (modes, kl) in PUBLISHED.items()]
    protocol = sorted(
        {f"{row['samples']:,} samples, classifier {row['features']}, seed {row['seed']}" for row in found}
    )
    return "\n".join(lines) + f"\n\nMeasured with {'; '.join(protocol)}.\n\n{DIFFERENCES}"


def main(argv: Sequence[str] | None = None) -> None:
    """Trains, counts and writes the table, as a command."""
    with one_line_errors("stacked_mnist"), sigterm_ends("stacked_mnist"):
        options = parse(lambda: tyro.cli(Options, args=argv, prog="stacked_mnist"))
        if options.samples < 1:
            raise UserError(f"--samples: {options.samples} is not allowed, it must be at least 1")
        wanted, network = config(options), classifier.load("mnist")
        with launch.stopped_in_words("stacked_mnist", wanted):
            folder = launch.run(wanted)
        found = measured(folder, network=network, options=options)
        write_atomically(folder / "modes.json", json.dumps(found, indent=2) + "\n")
        files = [options.out / name / "modes.json" for name in RECIPES]
        rows, real = [json.loads(file.read_text()) for file in files if file.exists()], floor(network, options)
        text, tree = table(rows, real), {"found": rows, "real": real, "published": PUBLISHED}
        write_atomically(options.out / "table.md", text)
        write_atomically(options.out / "table.json", json.dumps(tree, indent=2) + "\n")
        print(text)
        print(options.out / "table.md")


if __name__ == "__main__":
    main()
