"""Samples of a state by seed and number: the same ones wherever they are drawn, a batch at a time."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Float, Int, Key, UInt8

from jaxgan.methods import Method
from jaxgan.methods.method import Generator
from jaxgan.nn import noise
from jaxgan.runtime.program import ASSESS_STREAM, stream_key, to_bytes

SAMPLE_BATCH = 500  # samples drawn together

Images = UInt8[np.ndarray, "count height width channels"]
Labels = Int[np.ndarray, " count"]


def make_sampler(method: Method) -> Callable[..., Images]:
    """Makes the function that draws samples for evaluation.

    Args:
      method: the method.

    Returns:
      A function from (state, seed, count), and the labels of the samples if they are conditional, to images. The i-th
      depends on the state, the seed, i and its label.
    """

    @jax.jit
    def batch(state: Any, seed: jax.Array, number: jax.Array, *labels: jax.Array) -> jax.Array:
        assert method.sample is not None
        return to_bytes(method.sample(state, batch_key(seed, number), SAMPLE_BATCH, *labels))

    def sample(state: Any, seed: int, count: int, labels: Labels | None = None) -> Images:
        numbers = range(-(-count // SAMPLE_BATCH))
        given = () if labels is None else (np.resize(labels, (len(numbers), SAMPLE_BATCH)),)
        parts = [batch(state, np.uint32(seed), np.int32(n), *(each[n] for each in given)) for n in numbers]
        return np.concatenate(parts)[:count]

    return sample


def draw_latents(
    generator: Generator, key: Key[Array, ""], index: Int[Array, " n"], truncation: float
) -> Float[Array, "n latent"]:
    """Draws the latents of some samples of a batch; each depends on the key and its own index."""
    bits = noise.random_bits(key, index, count=generator.latent_size)
    return noise.truncate(generator.prior.draw(bits), generator.prior, truncation)


def batch_key(seed: int | Array, number: Array) -> Key[Array, ""]:
    """The key of a batch of samples, whether they are evaluated or written."""
    return jax.random.fold_in(stream_key(seed, ASSESS_STREAM), number)
