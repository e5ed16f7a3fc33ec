"""Images of the latents in a plane between four samples, drawn in advance."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, UInt8

from jaxgan.methods.method import Generator, draw_latents
from jaxgan.nn import noise
from jaxgan.runs.sampler import batch_key
from jaxgan.runtime.program import to_bytes

AT_ONCE = 100  # images drawn together


def draw_plane(
    generator: Generator, *, side: int, labels: Int[np.ndarray, " sheets"], seed: int = 0
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

    def latents(places: Int[Array, " n"]) -> Float[Array, "n latent"]:
        key = batch_key(seed, jnp.int32(0))
        first, second, third, fourth = draw_latents(generator, key, jnp.arange(4))
        down, right = (share[:, None] / (side - 1) for share in (places // side, places % side))
        upper = noise.interpolate(first[None], second[None], right, generator.prior)
        lower = noise.interpolate(third[None], fourth[None], right, generator.prior)
        return noise.interpolate(upper, lower, down, generator.prior)

    @jax.jit
    def batch(places: Array, classes: tuple[Array, ...]) -> Array:
        return to_bytes(generator.images(latents(places), *classes))

    places, classes = (x.ravel() for x in np.meshgrid(np.arange(side**2), labels if len(labels) else [0]))
    parts = []
    for start in range(0, len(places), AT_ONCE):
        chosen = np.minimum(np.arange(start, start + AT_ONCE), len(places) - 1)
        parts.append(batch(places[chosen], (classes[chosen].astype(np.int32),) if generator.classes else ()))
    images = np.concatenate(parts)[: len(places)]
    return images.reshape(-1, side**2, *images.shape[1:])
