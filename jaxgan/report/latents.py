"""Draws the images of a plane of latents between four samples, in advance."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, UInt8

from jaxgan.methods.method import Generator
from jaxgan.methods.sampling import draw_latents
from jaxgan.nn import noise
from jaxgan.runs.sampler import batch_key
from jaxgan.runtime.program import to_bytes

BATCH = 100  # images drawn together


def draw_plane(
    generator: Generator, *, side: int, labels: Int[np.ndarray, " sheets"], seed: int = 0
) -> UInt8[np.ndarray, "sheets count height width channels"]:
    """Draws images of latents between the first four samples of a seed, which are the corners.

    Args:
      generator: the function from latents to images.
      side: images along each side.
      labels: classes, one sheet each; empty if unconditional.
      seed: the seed of the samples.

    Returns:
      The images of each sheet, row by row: the first sample is top left, the second top right, the third bottom left.
    """

    def latents(places: Int[Array, " n"]) -> Float[Array, "n latent"]:
        key = batch_key(seed, jnp.int32(0))
        first, second, third, fourth = draw_latents(generator, key, jnp.arange(4))
        down, right = (index[:, None] / (side - 1) for index in (places // side, places % side))
        upper = noise.interpolate(first[None], second[None], right, generator.prior)
        lower = noise.interpolate(third[None], fourth[None], right, generator.prior)
        return noise.interpolate(upper, lower, down, generator.prior)

    @jax.jit
    def batch(places: Array, classes: tuple[Array, ...]) -> Array:
        return to_bytes(generator.images(latents(places), *classes))

    places, classes = (x.ravel() for x in np.meshgrid(np.arange(side**2), labels if len(labels) else [0]))
    parts = []
    for start in range(0, len(places), BATCH):
        chosen = np.minimum(np.arange(start, start + BATCH), len(places) - 1)
        parts.append(batch(places[chosen], (classes[chosen].astype(np.int32),) if generator.classes else ()))
    images = np.concatenate(parts)[: len(places)]
    return images.reshape(-1, side**2, *images.shape[1:])
