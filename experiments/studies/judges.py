"""Fréchet distances of the same samples by three feature networks (judges), to see how much the judge matters.

Run:       python experiments/studies/judges.py         (--help lists every flag)
           python experiments/studies/judges.py --runs runs/vanilla_gan runs/wgan r3gan
Time:      a few minutes on two CPU cores to train two classifiers, and a few for each flow-matching run
Expect:    distances on different scales, in almost the same order; numbers: experiments/gallery/quality/judges.md
Writes:    runs/judges/ (or --out) with judges.md; runs/judges/NAME/ with each classifier; runs/samples/
"""

import dataclasses
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # experiments/

import digit_classifier
import numpy as np
from scipy.stats import rankdata, spearmanr
from studies import generators, machine, markdown, training

from jaxgan import data, recipes
from jaxgan.config import Config
from jaxgan.evaluation import feature_network, metrics, protocol
from jaxgan.evaluation.feature_network import FeatureNetwork
from jaxgan.runs.flags import read_flags
from jaxgan.runs.workdir import write_atomically

JUDGES = {  # with their training flags
    "narrow": "--width 16 --seed 1 --epochs 3 --decay-steps 1404",
    "dense": "--network dense --seed 2",
}


@dataclass(frozen=True)
class Options:
    """Scores the samples of finished runs with the pinned feature network and with others."""

    runs: tuple[Path, ...] = field(default=generators.SHIPPED)  # working directories, or names of trained generators
    judges: tuple[str, ...] = field(default=tuple(JUDGES))  # feature networks in addition to the pinned one
    samples: int = protocol.COUNT  # images drawn from each run
    classifiers: Path = Path("runs/judges")  # folder with one working directory per feature network
    cache: Path = Path("runs/samples")  # folder for the samples
    out: Path = Path("runs/judges")  # folder for the report
    data_dir: Path | None = None  # folder of prepared TFDS data sets; None: TFDS_DATA_DIR or ~/tensorflow_datasets


class Scores(NamedTuple):
    """The scores of a judge, with its version, training command and test accuracy."""

    version: str
    command: str
    accuracy: float
    floor: float
    distances: Sequence[float]  # Fréchet distance of each generator


def config(name: str, options: Options) -> Config:
    """Makes the config of a judge: the recipe of the pinned network with other flags."""
    found = read_flags(digit_classifier.CONFIG, shlex.split(JUDGES[name]))
    run = {"workdir": options.classifiers / name, "data_dir": options.data_dir}
    return dataclasses.replace(found, run=dataclasses.replace(found.run, **run))


def judge(name: str, options: Options) -> FeatureNetwork:
    """Trains a judge, or reuses its finished run, and loads its weights in half precision."""
    wanted = config(name, options)
    training.train(wanted)
    recipes.keep_weights(wanted, wanted.run.workdir)
    return feature_network.load_judge(wanted.run.workdir / "classifier.safetensors", generators.DATA)


def score(
    network: FeatureNetwork, images: Sequence[generators.Images], train: data.Dataset, test: data.Dataset, command: str
) -> Scores:
    """Scores the samples of each generator, and training images as if they were samples."""
    features, probabilities = network.extract(test.images)
    real, chosen = metrics.moments(features), protocol.floor_choice(train.size, count=len(images[0]))
    floor, *distances = (
        metrics.frechet_distance(real, metrics.moments(network.extract(each)[0]))
        for each in (train.images[chosen], *images)
    )
    accuracy = float(np.mean(np.argmax(probabilities, axis=1) == test.labels))
    return Scores(network.version, command, accuracy, floor, distances)


def disagreements(titles: Sequence[str], found: Mapping[str, Scores]) -> list[str]:
    """Lists the pairs of generators that the judges order differently."""
    lines = []
    for i, j in combinations(range(len(titles)), 2):
        first = [name for name, each in found.items() if each.distances[i] < each.distances[j]]
        if 0 < len(first) < len(found):
            lines.append(f"{titles[i]} is nearer than {titles[j]} only for {' and '.join(first)}")
    return lines


def report(titles: Sequence[str], found: Mapping[str, Scores], *, samples: int) -> str:
    """Formats the scores as a Markdown report."""
    number, scores = markdown.number, found.values()
    ranks = [rankdata(each.distances).astype(int) for each in scores]
    main, times = ([[title] for title in titles] for _ in range(2))
    for each, rank in zip(scores, ranks, strict=True):
        for i, distance in enumerate(each.distances):
            main[i].append(f"{number(distance)} ({rank[i]})")
            times[i].append(number(distance / each.floor))
    main.append(["floor: training images", *(number(each.floor) for each in scores)])
    correlations = [
        [f"{a} and {b}", f"{spearmanr(found[a].distances, found[b].distances).statistic:.3f}"]
        for a, b in combinations(found, 2)
    ]
    judges = [[name, f"{each.accuracy:.2%}", each.version, f"`{each.command}`"] for name, each in found.items()]
    return markdown.document(
        "# The same samples, different judges",
        machine.describe("jax", "flax", "scipy", "jaxgan"),
        f"Fréchet distance between the same {samples:,} samples, as bytes, and the test images of MNIST, with the "
        "features of each network; ranks are in brackets. Distances of different networks have different scales, so "
        "only ranks and multiples of the floor are comparable across columns.",
        markdown.table(["Fréchet distance ↓", *found], main),
        "Spearman's rank correlation of two judges over all generators:",
        markdown.table(["judges", "rank correlation"], correlations),
        markdown.bullets(disagreements(titles, found)) or "They order all pairs alike.",
        "Multiples of the floor:",
        markdown.table(["distance / floor ↓", *found], times),
        "The judges, all trained on the training images only:",
        markdown.table(["judge", "test images right", "version", "command"], judges, align="lrll"),
    )


def study(options: Options) -> Path:
    """Draws and scores samples, and writes the report."""
    training.check("--judges", options.judges, JUDGES)
    trained = generators.load(options.runs, samples=options.samples)
    train, test = (data.load(generators.DATA, split=split, data_dir=options.data_dir) for split in ("train", "test"))
    images = [generators.samples(each.run, count=options.samples, cache=options.cache) for each in trained]
    networks = {"pinned": feature_network.load(generators.DATA)} | {
        name: judge(name, options) for name in options.judges
    }
    command = "python experiments/digit_classifier.py"
    found = {
        name: score(network, images, train, test, f"{command} {JUDGES.get(name, '')}".strip())
        for name, network in networks.items()
    }
    path = options.out / "judges.md"
    options.out.mkdir(parents=True, exist_ok=True)
    write_atomically(path, report([each.title for each in trained], found, samples=options.samples))
    return path


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the study as a command."""
    training.command("judges", Options, study, argv)


if __name__ == "__main__":
    main()
