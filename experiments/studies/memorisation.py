"""Tests whether generators copy training images, which images they miss, and how smoothly samples interpolate.

Run:       python experiments/studies/memorisation.py   (--help lists every flag)
           python experiments/studies/memorisation.py --runs runs/vanilla_gan runs/wgan r3gan
Time:      a minute for five generators on two CPU cores, a few minutes more for flow matching
Expect:    samples as far from training images as test images, unlike copies; numbers:
           experiments/gallery/quality/memorisation.md
Writes:    runs/memorisation/ (or --out) with memorisation.md, memorisation.png and distances.png; runs/samples/

A sample is suspicious if it is nearer to a training image than test images are.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # experiments/

import numpy as np
from scipy.stats import mannwhitneyu
from studies import generators, machine, markdown, training
from studies.figures import distributions
from studies.generators import Images

from jaxgan import data, figures
from jaxgan.data import Dataset
from jaxgan.evaluation import feature_network, prdc, protocol
from jaxgan.runs.workdir import write_atomically

STEPS = 32  # images on a path between two samples
COLUMNS = 20  # columns of the figure
TEST, SHIFTED, BLENDS = "test images", "training images, shifted by a pixel", "test images, faded into one another"
SPACES = ("pixels", "features")
DISTANCES = """\
Euclidean distance to the nearest training image, by pixels in [0, 1] and by features of the pinned network. *Nearer* is
the probability that a sample is nearer to a training image than a test image is (Mann and Whitney's U): 0.5 means as
far as test images, 1 means copies. *Nearest 1 %* is the share of samples below the first percentile of the test images.
Shifted training images are copies that the distance by pixels does not detect. Distant samples are not copies, but may
still be bad."""
PICTURE = """\
The samples that are nearest to a training image by features, two per predicted class. Below each sample: its nearest
training image by pixels and by features. Last row: test images that are much farther from the nearest sample than from
the nearest training image."""
PATHS = f"""\
Path length: E[d(G(z(t)), G(z(t + ε)))² / ε²] with ε = 1/{STEPS}, d the Euclidean distance of the pinned network's
features of images as bytes, and z(t) the path between the latents of two samples: an arc for a normal prior, otherwise
a line (Karras et al. 2019, section 4.1, with ε = 1e-4 and VGG). *Detour* is the median ratio of the length of a path to
the distance between its ends: 1 is straight in feature space. Paths of class-conditional generators stay in one class
and are shorter, so compare them only with each other. A generator of a single image has paths of length 0, so read
path lengths together with recall."""


@dataclass(frozen=True)
class Options:
    """Finds the nearest training image of each sample, and measures paths between samples."""

    runs: tuple[Path, ...] = field(default=generators.SHIPPED)  # working directories, or names of trained generators
    samples: int = protocol.COMPARED_PIXELWISE  # samples per generator, and number of test images
    paths: int = 64  # number of paths between samples
    cache: Path = Path("runs/samples")  # folder for the samples
    out: Path = Path("runs/memorisation")  # folder for the report
    data_dir: Path | None = None  # folder of prepared TFDS data sets; None: TFDS_DATA_DIR or ~/tensorflow_datasets


class Near(NamedTuple):
    """The nearest training image of each image of a set."""

    index: np.ndarray
    distance: np.ndarray


def nearest(images: Images, features: np.ndarray, train: Dataset, known: np.ndarray) -> dict[str, Near]:
    """Finds the nearest training images by pixels and by features; ``known`` are their features."""
    parts = prdc.map_rows(lambda _, d: (np.argmin(d, axis=1), np.sqrt(np.min(d, axis=1))), features, known)
    index, distance = (np.concatenate(part) for part in zip(*parts, strict=True))
    return {"pixels": Near(*prdc.nearest(images, train.images)), "features": Near(index, distance)}


def cells(distance: np.ndarray, test: np.ndarray) -> list[str]:
    """Formats the median, and two comparisons with the distances of test images; see `DISTANCES`."""
    nearer = mannwhitneyu(test, distance).statistic / (len(distance) * len(test))
    share = np.mean(distance < np.quantile(test, 0.01))
    return [markdown.number(float(np.median(distance))), f"{nearer:.2f}", f"{share:.1%}"]


def path_lengths(features: np.ndarray) -> tuple[float, float]:
    """Measures length and detour of paths in feature space, [paths, STEPS, features]; see `PATHS`."""
    x = features.astype(np.float64)
    steps, ends = np.linalg.norm(np.diff(x, axis=1), axis=2), np.linalg.norm(x[:, -1] - x[:, 0], axis=1)
    return float(np.mean(np.square(steps * STEPS))), float(np.median(steps.sum(axis=1) / np.maximum(ends, 1e-9)))


def blends(images: Images) -> Images:
    """Cross-fades each image into the next, and the last into the first."""
    share = np.arange(STEPS).reshape(-1, 1, 1, 1) / STEPS
    mixed = (1 - share) * images[:, None] + share * np.roll(images, -1, axis=0)[:, None]
    return np.round(mixed).astype(np.uint8).reshape(-1, *images.shape[1:])


def suspects(distance: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Returns the nearest samples: two per class, then any class until the row is full."""
    order = np.argsort(distance, kind="stable")
    first = [i for label in np.unique(labels) for i in order[labels[order] == label][:2]]
    return np.array([*first, *(i for i in order if i not in first)][:COLUMNS])


def left_out(held_out: np.ndarray, drawn: np.ndarray, distance: np.ndarray) -> np.ndarray:
    """Returns the test images whose distance to samples most exceeds their distance to training images, by features."""
    far = np.concatenate(prdc.map_rows(lambda _, d: np.sqrt(np.min(d, axis=1)), held_out, drawn))
    return np.argsort(distance - far, kind="stable")[:COLUMNS]


def study(options: Options) -> Path:
    """Draws samples, finds nearest images, measures paths, and writes the report."""
    trained = generators.load(options.runs, samples=options.samples, paths=options.paths)
    network, count = feature_network.load(generators.DATA), options.samples
    train, test = (data.load(generators.DATA, split=split, data_dir=options.data_dir) for split in ("train", "test"))
    known, held_out = network.extract(train.images)[0], test.images[:count]
    shifted = np.roll(train.images[protocol.floor_choice(train.size, count=count)], 1, axis=2)
    sets = {TEST: held_out, SHIFTED: shifted}
    sets |= {title: generators.samples(run, count=count, cache=options.cache) for title, run in trained}
    found = {name: network.extract(images) for name, images in sets.items()}
    near = {name: nearest(images, found[name][0], train, known) for name, images in sets.items()}
    rows = [
        [name, *(cell for space in SPACES for cell in cells(each[space].distance, near[TEST][space].distance))]
        for name, each in near.items()
    ]
    ways, sections = {BLENDS: blends(held_out[: options.paths])}, {}
    for title, run in trained:
        ways[title] = run.sample(options.paths, way=STEPS)
        features, probabilities = found[title]
        chosen = suspects(near[title]["features"].distance, np.argmax(probabilities, axis=1))
        copied = {f"by {space}": train.images[near[title][space].index[chosen]] for space in SPACES}
        missed = held_out[left_out(found[TEST][0], features, near[TEST]["features"].distance)]
        sections[title] = {"samples": sets[title][chosen], **copied, "left out": missed}
    lengths = []
    for name, images in ways.items():
        length, detour = path_lengths(network.extract(images)[0].reshape(-1, STEPS, known.shape[1]))
        lengths.append([name, markdown.number(length), f"{detour:.2f}"])
    options.out.mkdir(parents=True, exist_ok=True)
    title = "The most suspicious samples, their nearest training images, and test images left out"
    figures.save(figures.progression(sections, title=title), options.out / "memorisation.png")
    panels = {space: {name: each[space].distance for name, each in near.items()} for space in SPACES}
    figures.save(distributions(panels, title="Distance to the nearest training image"), options.out / "distances.png")
    measures = ("median", "nearer", "nearest 1 %")
    text = markdown.document(
        "# Memorisation and missed images",
        machine.describe("jax", "flax", "scipy", "jaxgan"),
        f"{count:,} samples of each generator, and the same number of test images. Feature network: {network.version}.",
        DISTANCES,
        markdown.table(["", *measures, *(f"{name}, by features" for name in measures)], rows),
        "![Distribution of distances to the nearest training image, by pixels and by features](distances.png)",
        PICTURE,
        "![Samples of each generator above their nearest training images, and missed test images](memorisation.png)",
        "## Paths between samples",
        PATHS,
        markdown.table([f"{options.paths} paths", "path length ↓", "detour ↓"], lengths),
    )
    write_atomically(options.out / "memorisation.md", text)
    return options.out / "memorisation.md"


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the study as a command."""
    training.command("memorisation", Options, study, argv)


if __name__ == "__main__":
    main()
