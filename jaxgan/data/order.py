"""The order in which an epoch visits the examples."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int32

EPOCH_STREAM = 1  # separates these random numbers from others of the same seed


def epoch_order(size: int, *, seed: int, epoch: int) -> Int32[np.ndarray, " {size}"]:
    """Shuffles the examples of an epoch, as a function of seed and epoch alone.

    NumPy's counter-based Philox gives every process of a run, and every input pipeline, the same order. It runs on the
    host, where it is much faster than a sort on the device.

    Args:
      size: number of examples.
      seed: the run's seed.
      epoch: which epoch, from 0.

    Returns:
      A permutation of 0..size-1.
    """
    return permutation(size, [seed, EPOCH_STREAM, epoch])


def permutation(size: int, entropy: Sequence[int]) -> Int32[np.ndarray, " {size}"]:
    """Draws a permutation of 0..size-1 from a Philox generator, as a function of its entropy."""
    generator = np.random.Generator(np.random.Philox(np.random.SeedSequence(entropy)))
    return generator.permutation(size).astype(np.int32)
