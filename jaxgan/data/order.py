"""The order of examples in an epoch, and in the files of TFDS."""

import hashlib
import os
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Int32

EPOCH_STREAM = 1  # separates these random numbers from others with the same seed


def epoch_order(size: int, *, seed: int, epoch: int) -> Int32[np.ndarray, " {size}"]:
    """Shuffles the examples of an epoch, as a function of only seed and epoch.

    NumPy's counter-based Philox gives every process of a run, and every input pipeline, the same order. It runs on the
    host, where it is much faster than a sort on the device.

    Args:
      size: number of examples.
      seed: the seed of the run.
      epoch: the index of the epoch, from 0.

    Returns:
      A permutation of 0..size-1.
    """
    return permutation(size, [seed, EPOCH_STREAM, epoch])


def tfds_order(size: int, split: str) -> Int32[np.ndarray, " {size}"]:
    """Orders examples as TFDS does when it prepares them: by the MD5 of the split's name and their index.

    Args:
      size: number of examples.
      split: the name of the split.

    Returns:
      A permutation of 0..size-1.
    """
    digests = [hashlib.md5(f"{split}{index}".encode()).digest() for index in range(size)]
    return np.array(sorted(range(size), key=digests.__getitem__), np.int32)


def permutation(size: int, entropy: Sequence[int]) -> Int32[np.ndarray, " {size}"]:
    """Draws a permutation of 0..size-1 from a Philox generator, as a function of its entropy."""
    generator = np.random.Generator(np.random.Philox(np.random.SeedSequence(entropy)))
    return generator.permutation(size).astype(np.int32)


def held_out(names: Sequence[str], *, share: float = 0.1) -> Bool[np.ndarray, " n"]:
    """Chooses held-out images by a hash of their names, so that new images move no old one to the other split.

    Args:
      names: the names of all images, at least two.
      share: the approximate fraction of held-out images.

    Returns:
      Whether each image is held out: at least one, and not all.
    """
    hashes = np.array([int.from_bytes(hashlib.sha256(os.fsencode(name)).digest()[:8]) for name in names]) / 2**64
    return hashes < min(max(share, np.partition(hashes, 1)[:2].mean()), hashes.max())
