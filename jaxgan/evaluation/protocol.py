"""The protocol of evaluations: samples against test images, and training images against test images as the floor."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, UInt8

from jaxgan.data.dataset import Dataset
from jaxgan.errors import UserError
from jaxgan.evaluation import metrics, prdc
from jaxgan.evaluation.feature_network import FeatureNetwork

Images = UInt8[np.ndarray, "n height width channels"]

COUNT = 10_000  # default number of samples
FEWEST, MOST = 100, 50_000  # bounds on the number of samples
COMPARED_PIXELWISE = 2000  # samples whose nearest training image is searched for
FLOOR_SEED = 0  # seed of the choice of training images for the floor
NEIGHBOURS = (3, 5)  # k of precision and recall, k of density and coverage


class Reference(NamedTuple):
    """The features of real images that samples are compared with."""

    network: FeatureNetwork
    features: Float[np.ndarray, "n features"]
    labels: Int[np.ndarray, " n"]
    moments: metrics.Moments | None  # None if the features are pixels
    radii: Float[np.ndarray, "n 2"]
    shares: Float[np.ndarray, " classes"]
    class_names: tuple[str, ...]


def reference(network: FeatureNetwork, real: Dataset) -> Reference:
    """Computes the reference of samples from real images.

    Args:
      network: the feature network.
      real: the test images.

    Returns:
      The reference.

    Raises:
      UserError: if there are too few test images.
    """
    require_enough(real)
    features, probabilities = network.extract(real.images)
    shares = metrics.class_shares(real.labels, classes=len(real.class_names))
    radii = prdc.squared_radii(features, NEIGHBOURS)
    moments = None if probabilities is None else metrics.moments(features)
    return Reference(network, features, real.labels, moments, radii, shares, real.class_names)


def require_enough(real: Dataset) -> None:
    """Raises UserError unless there are more test images than the largest k."""
    if len(real.images) <= (most := max(NEIGHBOURS)):
        raise UserError(f"--data: {real.name!r} has {len(real.images)} test images, evaluation needs {most + 1}")


def measure(
    images: Images, against: Reference, *, seed: int, requested: Int[np.ndarray, " n"] | None = None
) -> dict[str, float]:
    """Computes all metrics of a set of images from their features and predicted classes.

    Args:
      images: uint8 images.
      against: the reference.
      seed: seed of the subsets of the kernel distance.
      requested: class that each image should show; None if unconditional.

    Returns:
      The metrics by name. ``share_<class name>`` is the share of images predicted as that class, and
      ``frechet_distance_<class name>`` the distance between the images requested of a class and its test images;
      ``class_frechet_distance`` is their mean (Miyato and Koyama, cGANs with Projection Discriminator, 2018);
      ``largest_share_error`` is the largest relative difference of a share from that of the data. It and
      ``class_balance`` need test images of each class. Pixels give only precision, recall, density and coverage.
    """
    features, probabilities = against.network.extract(images)
    near, wide = NEIGHBOURS
    support = prdc.support(against.features, features, real_radii=against.radii, k=near, wide_k=wide)
    # Pixels give no other metrics: their distances mean little, and their covariance matrix is large.
    if probabilities is None or against.moments is None:
        return support._asdict()
    labels = np.argmax(probabilities, axis=1)
    kernel = metrics.kernel_distance(against.features, features, seed=seed)
    shares = metrics.class_shares(labels, classes=len(against.shares))
    values = {
        "frechet_distance": metrics.frechet_distance(against.moments, metrics.moments(features)),
        "kernel_distance": kernel.mean,
        "kernel_distance_error": kernel.error,
        **support._asdict(),
        "classifier_score": metrics.classifier_score(probabilities),
        "confident_fraction": metrics.confident_fraction(probabilities),
    }
    if np.all(against.shares):
        values["class_balance"] = metrics.class_balance(probabilities, against.shares)
        values["largest_share_error"] = float(np.max(np.abs(shares / against.shares - 1)))
    if requested is not None:
        values["requested_class_accuracy"] = float(np.mean(labels == requested))
        values |= within_classes(features, requested, against)
    return values | {f"share_{name}": float(share) for name, share in zip(against.class_names, shares, strict=True)}


def within_classes(
    features: Float[np.ndarray, "n features"], requested: Int[np.ndarray, " n"], against: Reference
) -> dict[str, float]:
    """Computes the Frechet distance within each class that has at least two images of both kinds, and the mean."""
    distances = {}
    for label, name in enumerate(against.class_names):
        pair = against.features[against.labels == label], features[requested == label]
        if min(map(len, pair)) > 1:
            distances[f"frechet_distance_{name}"] = metrics.frechet_distance(*map(metrics.moments, pair))
    return {"class_frechet_distance": float(np.mean(list(distances.values()))), **distances} if distances else {}


def floor(training: Dataset, against: Reference, *, count: int) -> dict[str, float]:
    """Scores training images as samples of their own classes: the floor, a lower bound for what a generator reaches.

    Args:
      training: all training images.
      against: the reference.
      count: number of images, chosen with a fixed seed.

    Returns:
      The metrics, as :func:`measure` returns them.
    """
    chosen = floor_choice(len(training.images), count=count)
    return measure(training.images[chosen], against, seed=FLOOR_SEED, requested=training.labels[chosen])


def floor_choice(images: int, *, count: int) -> Int[np.ndarray, " count"]:
    """The indices of the training images in the floor."""
    return np.sort(np.random.default_rng(FLOOR_SEED).choice(images, count, replace=False))


def memorisation(images: Images, training: Images) -> float:
    """The mean distance of images to their nearest training image; small if they are copies.

    Args:
      images: uint8 images; only the first 2,000 are used.
      training: all training images.

    Returns:
      The mean Euclidean distance over pixels in [0, 1]; compare it with that of the test images.
    """
    return float(prdc.nearest(images[:COMPARED_PIXELWISE], training)[1].mean())


class Number(NamedTuple):
    """One metric over all seeds."""

    mean: float
    deviation: float | None  # standard deviation over seeds; None for one seed
    floor: float | None  # metric of the floor; None if real images have none


def summarize(results: Sequence[Mapping[str, float]], floors: Mapping[str, float]) -> dict[str, Number]:
    """Summarizes the metrics of several seeds or replicas.

    Args:
      results: metrics by name, for each seed or replica.
      floors: metrics of the floor.

    Returns:
      The numbers by name.
    """
    return {
        name: Number(
            float(np.mean([values[name] for values in results])),
            float(np.std([values[name] for values in results], ddof=1)) if len(results) > 1 else None,
            floors.get(name),
        )
        for name in results[0]
    }


def check_count(count: int, *, most: int = MOST, flag: str = "--count") -> int:
    """Returns the number of samples; raises UserError if it is too small or too large."""
    if not FEWEST <= count <= most:
        upper = f" and at most {most:,}" if most >= FEWEST else ""  # a file may have too few for any count
        raise UserError(f"{flag}: {count:,} images are not allowed, it must be at least {FEWEST}{upper}")
    return count


def check_seeds(seeds: int | Sequence[int]) -> tuple[int, ...]:
    """Returns the seeds of samples, given one or several; raises UserError if one is out of bounds."""
    several = (seeds,) if isinstance(seeds, int) else tuple(seeds)
    if not several or not all(isinstance(seed, int | np.integer) and 0 <= seed < 2**32 for seed in several):
        raise UserError(f"seeds=: {several} is not allowed, give one or more, each at least 0 and below {2**32}")
    return several
