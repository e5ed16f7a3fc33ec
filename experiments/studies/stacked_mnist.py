"""Stacked MNIST: how many of the 1,000 combinations of three digits a GAN generates, and how evenly.

Run:       python experiments/studies/stacked_mnist.py      (--help lists every flag)
           python experiments/studies/stacked_mnist.py --methods r3gan --seeds 3 --out experiments/gallery/quality
                                                             (updates this row of the report)
Data:      60,000 images with a digit in each of three channels (`jaxgan.load("stacked_mnist")`)
Measure:   the digit classifier labels each channel of 26,000 samples. Each combination that occurs is a mode; the KL
           divergence of mode frequencies from the uniform distribution measures evenness
Time:      1 to 2 min per epoch, method and seed on two CPU cores, 10 epochs each, and a minute to count modes
Expect:    a table of the methods beside real images and published values; numbers:
           experiments/gallery/quality/stacked_mnist.md
Writes:    runs/stacked_mnist/METHOD_SEED/, a working directory per method and training seed; stacked_mnist.md and
           stacked_mnist.json in runs/stacked_mnist/ (or --out), updated after each run
"""

import dataclasses
import itertools
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # experiments/

import dcgan
import numpy as np
import r3gan
import wgan
from jaxtyping import Int, UInt8
from studies import machine, markdown, training

from jaxgan import data
from jaxgan.config import Config
from jaxgan.evaluation import feature_network
from jaxgan.evaluation.feature_network import FeatureNetwork
from jaxgan.runs.launch import stopped_in_words
from jaxgan.runs.load import load_run
from jaxgan.runs.sampler import make_sampler
from jaxgan.runs.workdir import write_atomically

# Three digits take three times as many latents. Labels would reveal the modes to count.
CHANGES = {"latent_size": 3 * r3gan.CONFIG.method.latent_size, "conditional": False, **training.SHORT}
RECIPES: Mapping[str, Config] = {
    "dcgan": dcgan.CONFIG,
    "wgan": wgan.CONFIG,
    "r3gan": dataclasses.replace(r3gan.CONFIG, method=dataclasses.replace(r3gan.CONFIG.method, **CHANGES)),
}
CLASSES = 10  # per channel

PUBLISHED = {  # number of modes and KL divergence, from Huang et al. 2024 (The GAN is dead; long live the GAN!)
    "DCGAN": (99, 3.40),
    "VEEGAN": (150, 2.95),
    "PacGAN": (992, 0.28),
    "WGAN-GP": (959, 0.73),
    "StyleGAN2": (940, 0.42),
    "R3GAN": (1000, 0.029),
}
DIFFERENCES = """\
Published values only indicate the scale. They come from other classifiers and other networks, which are mostly larger
and trained for longer. Ours are the chapter's small networks, trained for the steps in the table (critic steps for the
WGAN). The R3GAN objective has a uniform prior, penalties of weight 0.2 and learning rates of 2e-3. Means ± standard
deviations are over training seeds. All values count the modes of 26,000 samples. Real images give a lower bound of the
divergence: so few samples never cover 1,000 modes evenly, and the digits of MNIST are not equally frequent."""


@dataclass(frozen=True)
class Options:
    """Trains methods on Stacked MNIST, or reuses finished runs, and counts the modes of their samples."""

    methods: tuple[str, ...] = tuple(RECIPES)  # rows to make; other rows of the report are kept
    epochs: int = 10  # passes over the training images
    seeds: int = 1  # number of training seeds, each also the seed of its samples
    samples: int = 26_000  # number of samples in which to count modes, as in published results
    devices: int | None = None  # number of devices; None: as many as divide the batch
    runs: Path = Path("runs/stacked_mnist")  # folder with one working directory per run
    out: Path = Path("runs/stacked_mnist")  # folder for the table
    data_dir: Path | None = None  # folder of prepared TFDS data sets; None: TFDS_DATA_DIR or ~/tensorflow_datasets


def config(method: str, options: Options, *, seed: int = 0) -> Config:
    """Makes the config of a method's run from its recipe."""
    run = {"data_dir": options.data_dir, "devices": options.devices, "seed": seed}
    run |= {"workdir": options.runs / f"{method}_{seed}", "data": "stacked_mnist"}
    return training.with_epochs(RECIPES[method], options.epochs, **run)


class Modes(NamedTuple):
    """The modes of a set of images."""

    found: int
    divergence: float  # KL divergence of mode frequencies from the uniform distribution, in nats


def count_modes(labels: Int[np.ndarray, "n channels"]) -> Modes:
    """Counts the combinations of labels that occur, and measures how unevenly they occur.

    References:
      Metz et al., Unrolled GANs, 2017, section 3.3.1; Lin et al., PacGAN, 2018, section 4.1.
    """
    modes = CLASSES ** labels.shape[1]
    counts = np.bincount(labels @ CLASSES ** np.arange(labels.shape[1])[::-1], minlength=modes)
    shares = counts[counts > 0] / len(labels)
    return Modes(len(shares), float(np.sum(shares * np.log(shares * modes))))


def classify(images: UInt8[np.ndarray, "n h w channels"], network: FeatureNetwork) -> Int[np.ndarray, "n channels"]:
    """Labels each channel with the feature network of single digits."""
    channels = range(images.shape[-1])
    return np.stack([np.argmax(network.extract(images[..., c : c + 1])[1], axis=1) for c in channels], axis=1)


def measure(folder: Path, network: FeatureNetwork, options: Options) -> dict[str, Any]:
    """Counts the modes of a finished run's samples."""
    run = load_run(folder)
    images = make_sampler(run.method)(run.state, run.config.run.seed, options.samples)
    return {
        **count_modes(classify(images, network))._asdict(),
        "steps": run.step,
        "minutes": training.training_seconds(folder) / 60,
        "protocol": f"{len(images):,} samples, seed {run.config.run.seed}, feature network {network.version}",
        "measured": machine.describe("jax", "jaxgan"),
    }


def over_seeds(runs: Sequence[Mapping[str, Any]], name: str, digits: int) -> str:
    """Formats the mean of a number over the runs of a method, with the standard deviation if there are several."""
    values = [run[name] for run in runs]
    deviation = f" ± {stdev(values):.2g}" if len(values) > 1 else ""
    return f"{fmean(values):,.{digits}f}{deviation}"


def report(results: Mapping[str, Sequence[Mapping[str, Any]]], real: Modes) -> str:
    """Formats the table as Markdown: measured methods, real images, published values."""
    rows = [
        [
            RECIPES[name].method.title,
            len(runs),
            over_seeds(runs, "found", digits=0),
            over_seeds(runs, "divergence", digits=3),
            f"{runs[0]['steps']:,}",
            f"{fmean(run['minutes'] for run in runs):.1f}",
        ]
        for name, runs in results.items()
    ]
    rows.append(["real images", None, f"{real.found:,}", f"{real.divergence:.3f}", None, None])
    rows += [
        [f"{name}, published", None, f"{modes:,}", f"{kl:g}", None, None] for name, (modes, kl) in PUBLISHED.items()
    ]
    notes = [
        f"{RECIPES[name].method.title}: {run['protocol']}; {run['measured']}"
        for name, runs in results.items()
        for run in runs
    ]
    return markdown.document(
        "# Stacked MNIST",
        markdown.table(["model", "seeds", "modes of 1,000 ↑", "KL, nats ↓", "steps", "minutes"], rows),
        DIFFERENCES,
        markdown.bullets(notes),
    )


def study(options: Options) -> Path:
    """Trains the methods, counts modes, and updates the table after each run."""
    training.check("--methods", options.methods, RECIPES, options.samples, epochs=options.epochs, seeds=options.seeds)
    network, path = feature_network.load("mnist"), options.out / "stacked_mnist.md"
    images = data.load("stacked_mnist", data_dir=options.data_dir).images[: options.samples]
    real, saved = count_modes(classify(images, network)), path.with_suffix(".json")
    for name, seed in itertools.product(options.methods, range(options.seeds)):
        wanted = config(name, options, seed=seed)
        with stopped_in_words("stacked_mnist", wanted):
            training.train(wanted)
        results = json.loads(saved.read_text()) if saved.exists() else {}
        before = results[name] if seed else []
        results[name] = [*before, measure(wanted.run.workdir, network, options)]
        results = {name: results[name] for name in RECIPES if name in results}
        options.out.mkdir(parents=True, exist_ok=True)
        write_atomically(saved, json.dumps(results, indent=1) + "\n")
        write_atomically(path, report(results, real))
    return path


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the study as a command."""
    training.command("stacked_mnist", Options, study, argv)


if __name__ == "__main__":
    main()
