"""What is measured against what: samples against the test images, and real images as their floor."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, UInt8

from jaxgan.data.dataset import Dataset
from jaxgan.errors import UserError
from jaxgan.evaluation import metrics, neighbours
from jaxgan.evaluation.classifier import FeatureNetwork

Images = UInt8[np.ndarray, "n height width channels"]

COUNT = 10_000  # samples
FEWEST, MOST = 100, 50_000
COMPARED_PIXELWISE = 2000  # images whose nearest training image is looked for
FLOOR_SEED = 0  # which training images are the floor
NEIGHBOURS = (3, 5)  # of precision and recall, and of density and coverage
STACKED_COUNT = 26_000  # samples of Stacked MNIST, as everyone takes


class Reference(NamedTuple):
    """Real images as the feature network sees them."""

    network: FeatureNetwork
    features: Float[np.ndarray, "n features"]
    moments: metrics.Moments
    radii: Float[np.ndarray, "n 2"]
    shares: Float[np.ndarray, " classes"]
    class_names: tuple[str, ...]


def reference(network: FeatureNetwork, real: Dataset) -> Reference:
    """Takes from real images what every set of samples is held against.

    Args:
      network: the feature network.
      real: the images and their labels; the test images.

    Returns:
      The reference.
    """
    features, _ = network.extract(real.images)
    shares = metrics.class_shares(real.labels, classes=len(real.class_names))
    radii = neighbours.squared_radii(features, NEIGHBOURS)
    return Reference(network, features, metrics.moments(features), radii, shares, real.class_names)


def measure(
    images: Images, against: Reference, *, seed: int, requested: Int[np.ndarray, " n"] | None = None
) -> dict[str, float]:
    """Measures images by their features and by the classes that they seem to be of.

    Args:
      images: as bytes.
      against: what they are held against.
      seed: how they are dealt to the subsets of the kernel distance.
      requested: the class that was asked for of each, where one was.

    Returns:
      The metrics by name, of which ``share_`` and a class name is the share of images that seem to be of that class,
      and ``largest_share_error`` the largest relative difference of such a share from the data's.
    """
    features, probabilities = against.network.extract(images)
    labels = np.argmax(probabilities, axis=1)
    kernel = metrics.kernel_distance(against.features, features, seed=seed)
    shares = metrics.class_shares(labels, classes=len(against.shares))
    near, wide = NEIGHBOURS
    support = neighbours.support(against.features, features, real_radii=against.radii, k=near, wide_k=wide)
    found = {
        "frechet_distance": metrics.frechet_distance(against.moments, metrics.moments(features)),
        "kernel_distance": kernel.mean,
        "kernel_distance_error": kernel.error,
        **support._asdict(),
        "classifier_score": metrics.classifier_score(probabilities),
        "confident_fraction": metrics.confident_fraction(probabilities),
        "class_balance": metrics.class_balance(probabilities, against.shares),
        "largest_share_error": float(np.max(np.abs(shares / against.shares - 1))),
    }
    if requested is not None:
        found["requested_class_accuracy"] = float(np.mean(labels == requested))
    return found | {f"share_{name}": float(share) for name, share in zip(against.class_names, shares, strict=True)}


def floor(training: Images, against: Reference, *, count: int) -> dict[str, float]:
    """Measures real images of another part of the data in the place of samples: nothing honest is much better.

    Args:
      training: all training images.
      against: what they are held against.
      count: how many of them to take, by a fixed seed.

    Returns:
      As :func:`measure`.
    """
    return measure(training[floor_choice(len(training), count=count)], against, seed=FLOOR_SEED)


def floor_choice(images: int, *, count: int) -> Int[np.ndarray, " count"]:
    """Which of the training images are the floor."""
    return np.sort(np.random.default_rng(FLOOR_SEED).choice(images, count, replace=False))


def memorisation(images: Images, training: Images) -> float:
    """The mean distance of images to the nearest training image, which copies make small.

    Args:
      images: as bytes; the first 2,000 are taken.
      training: all training images.

    Returns:
      The mean Euclidean distance of pixels on the scale [0, 1], to be held against that of the test images.
    """
    return float(neighbours.nearest_distances(images[:COMPARED_PIXELWISE], training).mean())


def measure_stacked(images: Images, network: FeatureNetwork) -> dict[str, float]:
    """Counts the modes of images that hold a digit in each channel.

    Args:
      images: as bytes, 26,000 of them if the numbers shall compare with published ones.
      network: the feature network of single digits.

    Returns:
      ``modes_found``, of 1000 for three channels, and ``modes_divergence``, in nats.
    """
    channels = range(images.shape[-1])
    labels = np.stack([np.argmax(network.extract(images[..., c : c + 1])[1], axis=1) for c in channels], axis=1)
    modes = metrics.stacked_modes(labels)
    return {"modes_found": float(modes.found), "modes_divergence": modes.divergence}


class Number(NamedTuple):
    """One metric over all seeds."""

    mean: float
    deviation: float | None  # of single seeds, None if there is only one
    floor: float | None  # None if real images have no such number


def summarize(found: Sequence[Mapping[str, float]], floors: Mapping[str, float]) -> dict[str, Number]:
    """Takes together what several seeds gave.

    Args:
      found: metrics by name, for each seed.
      floors: the same of real images.

    Returns:
      The numbers by name.
    """
    return {
        name: Number(
            float(np.mean([values[name] for values in found])),
            float(np.std([values[name] for values in found], ddof=1)) if len(found) > 1 else None,
            floors.get(name),
        )
        for name in found[0]
    }


def check_count(count: int, *, most: int = MOST, flag: str = "--count") -> int:
    """Returns how many samples to measure; raises UserError if they are too few to say anything, or too many."""
    if not FEWEST <= count <= most:
        raise UserError(f"{flag}: {count:,} images are not allowed, it must be at least {FEWEST} and at most {most:,}")
    return count
