"""Draws samples of a state batch by batch: sample i depends only on the state, the seed, i and its label."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Int, Key, UInt8

from jaxgan.methods import Method
from jaxgan.runtime.program import ASSESS_STREAM, stream_key, to_bytes

SAMPLE_BATCH = 500  # samples per batch

Images = UInt8[np.ndarray, "count height width channels"]
Labels = Int[np.ndarray, " count"]


def make_sampler(method: Method) -> Callable[..., Images]:
    """Makes the function that draws samples for evaluation.

    Args:
      method: the method.

    Returns:
      A function from (state, seed, count), and the labels of the samples if they are conditional, to images.
    """

    @jax.jit
    def batch(state: Any, seed: jax.Array, number: jax.Array, *labels: jax.Array) -> jax.Array:
        assert method.sample is not None
        return to_bytes(method.sample(state, batch_key(seed, number), SAMPLE_BATCH, *labels))

    def sample(state: Any, seed: int, count: int, labels: Labels | None = None) -> Images:
        parts = [
            batch(state, np.uint32(seed), np.int32(number), *batch_labels)
            for number, batch_labels in enumerate(by_batch(labels, count, size=SAMPLE_BATCH))
        ]
        return np.concatenate(parts)[:count]

    return sample


def by_batch(labels: Labels | None, count: int, *, size: int) -> list[tuple[Labels, ...]]:
    """Splits labels into batches, repeated in turn if they are fewer; returns empty tuples without labels."""
    batches = -(-count // size)
    return [()] * batches if labels is None else [(part,) for part in np.resize(labels, (batches, size))]


def batch_key(seed: int | Array, number: Array) -> Key[Array, ""]:
    """Returns the key of a batch of samples, the same for evaluation as for files."""
    return jax.random.fold_in(stream_key(seed, ASSESS_STREAM), number)
