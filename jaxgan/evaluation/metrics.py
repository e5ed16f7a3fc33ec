"""Metrics of samples: pure functions of features and of class probabilities, in double precision."""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

Features = Float[np.ndarray, "n features"]
Probabilities = Float[np.ndarray, "n classes"]


class Moments(NamedTuple):
    """Mean and covariance of a set of features."""

    mean: Float[np.ndarray, " features"]
    covariance: Float[np.ndarray, "features features"]


def moments(features: Features) -> Moments:
    """Computes the mean and the unbiased covariance of features.

    Args:
      features: features of at least two images.

    Returns:
      Both, in double precision.
    """
    x = np.asarray(features, np.float64)
    mean = x.mean(axis=0)
    centred = x - mean
    return Moments(mean, centred.T @ centred / (len(x) - 1))


def frechet_distance(a: Moments, b: Moments) -> float:
    """Squared Frechet (2-Wasserstein) distance between two Gaussians.

    The trace of (A^(1/2) B A^(1/2))^(1/2) is computed as the sum of the singular values of A^(1/2) B^(1/2). This needs
    no complex numbers and allows singular covariances.

    Args:
      a: one Gaussian.
      b: the other.

    Returns:
      ``|mean_a - mean_b|^2 + tr(A + B) - 2 tr((A B)^(1/2))``, not negative.

    References:
      Heusel et al., GANs Trained by a Two Time-Scale Update Rule, 2017, equation 6.
    """
    shift = np.sum(np.square(a.mean - b.mean))
    overlap = np.linalg.svd(_root(a.covariance) @ _root(b.covariance), compute_uv=False).sum()
    return max(0.0, float(shift + np.trace(a.covariance) + np.trace(b.covariance) - 2 * overlap))


def _root(covariance: Float[np.ndarray, "features features"]) -> Float[np.ndarray, "features features"]:
    values, axes = np.linalg.eigh(covariance)
    return (axes * np.sqrt(np.maximum(values, 0))) @ axes.T


class Estimate(NamedTuple):
    """A mean over subsets, and its standard error."""

    mean: float
    error: float


def kernel_distance(real: Features, fake: Features, *, size: int = 1000, seed: int = 0) -> Estimate:
    """Unbiased squared maximum mean discrepancy with the kernel (x.y / d + 1)^3, a mean over disjoint subsets.

    Disjoint subsets are independent, which the standard error assumes.

    Args:
      real: features of real images.
      fake: features of generated images.
      size: images of each kind per subset, at most half of the smaller set.
      seed: seed of the assignment of images to subsets.

    Returns:
      The mean over the subsets, which may be negative, and its standard error.

    References:
      Binkowski et al., Demystifying MMD GANs, 2018, section 4; Gretton et al., A Kernel Two-Sample Test, 2012,
      equation 3.
    """
    smaller = min(len(real), len(fake))
    size = min(size, smaller // 2)
    parts = smaller // size
    rng = np.random.default_rng(seed)
    chosen = [rng.permutation(len(x))[: parts * size].reshape(parts, size) for x in (real, fake)]
    pairs = zip(*chosen, strict=True)
    values = [_squared_mmd(real[i].astype(np.float64), fake[j].astype(np.float64)) for i, j in pairs]
    return Estimate(float(np.mean(values)), float(np.std(values, ddof=1) / math.sqrt(parts)))


def _squared_mmd(x: Features, y: Features) -> float:
    within = [k.sum() - np.trace(k) for k in (_kernel(x, x), _kernel(y, y))]
    pairs = len(x) * (len(x) - 1)
    return sum(within) / pairs - 2 * _kernel(x, y).mean()


def _kernel(x: Features, y: Features) -> Float[np.ndarray, "n m"]:
    k = x @ y.T / x.shape[1] + 1
    return k * k * k  # much faster than a power


def classifier_score(probabilities: Probabilities) -> float:
    """The Inception score with another network: high if each image has a confident class and all classes occur.

    Args:
      probabilities: class probabilities of each image.

    Returns:
      exp of the mean KL divergence of an image's probabilities from their mean; from 1 to the number of classes.

    References:
      Salimans et al., Improved Techniques for Training GANs, 2016, section 4.
    """
    p = np.asarray(probabilities, np.float64)
    return math.exp(np.mean(np.sum(_times_log_ratio(p, p.mean(axis=0)), axis=1)))


def class_balance(probabilities: Probabilities, shares: Float[np.ndarray, " classes"]) -> float:
    """KL divergence of the mean predicted probabilities from the data's class shares, in nats."""
    p = np.asarray(probabilities, np.float64).mean(axis=0)
    return max(0.0, float(np.sum(_times_log_ratio(p, np.asarray(shares, np.float64)))))


def class_shares(labels: Int[np.ndarray, " n"], *, classes: int) -> Float[np.ndarray, " classes"]:
    """The share of each class among labels."""
    return np.bincount(labels, minlength=classes) / len(labels)


def confident_fraction(probabilities: Probabilities, *, threshold: float = 0.95) -> float:
    """The share of images with a class of at least the threshold's probability."""
    return float(np.mean(np.max(probabilities, axis=1) >= threshold))


def _times_log_ratio(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """The terms p log(p / q) of a KL divergence; 0 where p is 0."""
    q = np.broadcast_to(q, p.shape)
    mask = p > 0
    with np.errstate(divide="ignore"):  # if the data lack a class, the divergence is infinite
        return np.multiply(p, np.log(p, where=mask, out=np.zeros_like(p)) - np.log(q, where=mask, out=np.zeros_like(p)))
