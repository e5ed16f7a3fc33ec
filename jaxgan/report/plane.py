"""A plane of latents between four samples, drawn in advance."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, UInt8

from jaxgan.methods.method import Generator
from jaxgan.nn import noise
from jaxgan.runs.load import batch_key
from jaxgan.runtime.program import to_bytes

AT_ONCE = 100  # images drawn together


def draw_plane(
    generator: Generator, *, side: int, labels: Sequence[int], seed: int = 0
) -> UInt8[np.ndarray, "sheets count height width channels"]:
    """Draws latents between those of the first four samples of a seed, which are the corners.

    Args:
      generator: what draws.
      side: images along each side.
      labels: the classes to draw each of them in; none if unconditional.
      seed: of the samples.

    Returns:
      For each label the images, row by row: to the right from the first sample to the second, down from the first to
      the third.
    """

    def latents(place: Array) -> Array:
        down, right = place // side / (side - 1), place % side / (side - 1)
        bits = noise.random_bits(batch_key(seed, jnp.int32(0)), jnp.arange(4), count=generator.latent_size)
        corners = noise.truncate(generator.prior.draw(bits), generator.prior, generator.truncation)
        left_to_right = noise.interpolate(corners[::2], corners[1::2], right, generator.prior)
        return noise.interpolate(left_to_right[0], left_to_right[1], down, generator.prior)

    @jax.jit
    def batch(places: Array, classes: tuple[Array, ...]) -> Array:
        return to_bytes(generator.images(jax.vmap(latents)(places), *classes))

    places, classes = (x.ravel() for x in np.meshgrid(np.arange(side**2), labels or [0]))
    parts = []
    for start in range(0, len(places), AT_ONCE):
        chosen = np.minimum(np.arange(start, start + AT_ONCE), len(places) - 1)
        parts.append(batch(places[chosen], (classes[chosen].astype(np.int32),) if labels else ()))
    images = np.concatenate(parts)[: len(places)]
    return images.reshape(max(1, len(labels)), side**2, *images.shape[1:])
