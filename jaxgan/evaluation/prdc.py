"""Precision, recall, density and coverage of samples, and their distance to the nearest training image."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, TypeVar

import numpy as np
from jaxtyping import Float, Int, UInt8

Features = Float[np.ndarray, "n features"]
Distances = Float[np.ndarray, "rows m"]
T = TypeVar("T")

AT_ONCE = 2**22  # distances that a thread holds in memory, 32 MB
MOST_THREADS = 4


class Support(NamedTuple):
    """Overlap of the supports of two sets of features."""

    precision: float  # share of generated images within the radius of a real one: fidelity
    recall: float  # share of real images within the radius of a generated one: diversity
    density: float  # mean count of real images whose radius covers a generated one, divided by k; may exceed 1
    coverage: float  # share of real images whose radius covers a generated one; robust to outliers


def support(
    real: Features, fake: Features, *, real_radii: Float[np.ndarray, "n 2"] | None = None, k: int = 3, wide_k: int = 5
) -> Support:
    """Measures fidelity and diversity; the radius of an image is the distance to its k-th neighbour in its own set.

    Args:
      real: features of real images.
      fake: features of generated images.
      real_radii: ``squared_radii(real, (k, wide_k))``, if already computed.
      k: the neighbour that gives the radius for precision and recall.
      wide_k: the neighbour that gives the radius for density and coverage.

    Returns:
      The four metrics.

    References:
      Kynkaanniemi et al., Improved Precision and Recall Metric, 2019, equations 1 and 2; Naeem et al., Reliable
      Fidelity and Diversity Metrics, 2020, equations 4 and 5.
    """
    near, wide = (squared_radii(real, (k, wide_k)) if real_radii is None else real_radii).T
    fake_radii = squared_radii(fake, (k,))

    def counts(rows: slice, distances: Distances) -> tuple[int, int, np.ndarray, np.ndarray]:
        precise = int(np.count_nonzero(np.any(distances <= near, axis=1)))
        within = distances <= wide
        recalled = np.any(distances <= fake_radii[rows], axis=0)
        return precise, int(np.count_nonzero(within)), recalled, np.any(within, axis=0)

    precise, dense, recalled, covered = zip(*map_rows(counts, fake, real), strict=True)
    return Support(
        precision=float(sum(precise) / len(fake)),
        recall=float(np.any(recalled, axis=0).mean()),
        density=float(sum(dense) / (wide_k * len(fake))),
        coverage=float(np.any(covered, axis=0).mean()),
    )


def squared_radii(features: Features, neighbours: Sequence[int]) -> Float[np.ndarray, "n kinds"]:
    """Squared distances of each image to selected nearest neighbours in its own set, excluding itself.

    Args:
      features: features of more images than the largest rank.
      neighbours: ranks of the neighbours, 1 for the nearest.

    Returns:
      One column per rank.
    """
    # Rank 0 is the image itself, at a distance of 0 up to rounding.
    ranks = list(neighbours)
    return np.concatenate(
        map_rows(lambda _, distances: np.partition(distances, ranks, axis=1)[:, ranks], features, features)
    )


def map_rows(function: Callable[[slice, Distances], T], a: Features, b: Features) -> list[T]:
    """Applies a function to the squared distances of all pairs, block by block to bound the memory.

    Args:
      function: from a block of rows of ``a`` and their squared distances to all of ``b``, in double precision; called
        from several threads.
      a: features.
      b: features.

    Returns:
      The results, in the order of the blocks.
    """
    centre = b.mean(axis=0, dtype=np.float64)
    same, b = a is b, b - centre  # smaller numbers cancel with less error
    a = b if same else a - centre  # pixels of large images take gigabytes
    squares = _squares(a), _squares(b)
    size = max(1, AT_ONCE // len(b))

    def part(start: int) -> T:
        rows = slice(start, min(start + size, len(a)))
        distances = (-2 * a[rows]) @ b.T
        distances += squares[0][rows, None]
        distances += squares[1]
        return function(rows, np.maximum(distances, 0, out=distances))

    with ThreadPoolExecutor(min(MOST_THREADS, os.cpu_count() or 1)) as pool:
        return list(pool.map(part, range(0, len(a), size)))


def _squares(x: Features) -> Float[np.ndarray, " n"]:
    return np.concatenate([np.sum(np.square(x[start : start + 256]), axis=1) for start in range(0, len(x), 256)])


def nearest(
    images: UInt8[np.ndarray, "n height width channels"], among: UInt8[np.ndarray, "m height width channels"]
) -> tuple[Int[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """Returns the index in ``among`` of the nearest image to each, and its Euclidean distance over pixels in [0, 1].

    The search uses single precision. The distance is exact: 0 for a copy.
    """
    x = images.reshape(len(images), -1).astype(np.float32)
    best, best_index = np.full(len(x), np.inf, np.float32), np.zeros(len(x), int)
    size = max(1, AT_ONCE // max(len(x), x.shape[1]))
    for start in range(0, len(among), size):
        y = among[start : start + size].reshape(-1, x.shape[1]).astype(np.float32)
        relative = (-2 * x) @ y.T  # squared distances without the square of x, a constant in the search
        relative += np.sum(np.square(y), axis=1)
        index = np.argmin(relative, axis=1)
        value = relative[np.arange(len(x)), index]
        closer = value < best
        best, best_index = np.where(closer, value, best), np.where(closer, start + index, best_index)
    pairs = zip(images, best_index, strict=True)
    return best_index, np.sqrt([np.sum(np.square(image.astype(np.int64) - among[i])) for image, i in pairs]) / 255
