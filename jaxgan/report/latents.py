"""Images of chosen latents, drawn in advance: samples in given classes, and a plane between four samples."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, UInt8

from jaxgan.methods.method import Generator
from jaxgan.nn import noise
from jaxgan.runs.load import batch_key
from jaxgan.runtime.program import to_bytes

AT_ONCE = 100  # images drawn together

Images = UInt8[np.ndarray, "count height width channels"]


def draw_samples(generator: Generator, labels: Int[np.ndarray, " count"], *, seed: int = 0) -> Images:
    """Draws as many samples as there are labels, of the latents of ``jaxgan sample``.

    Args:
      generator: what draws.
      labels: the class of each; of no account if it is unconditional.
      seed: of the samples.

    Returns:
      The images.
    """
    return _draw(generator, lambda index: _latents(generator, index, seed), np.arange(len(labels)), labels)


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
        first, second, third, fourth = _latents(generator, jnp.arange(4), seed)
        down, right = (share[:, None] / (side - 1) for share in (places // side, places % side))
        upper = noise.interpolate(first[None], second[None], right, generator.prior)
        lower = noise.interpolate(third[None], fourth[None], right, generator.prior)
        return noise.interpolate(upper, lower, down, generator.prior)

    places, classes = (x.ravel() for x in np.meshgrid(np.arange(side**2), labels if len(labels) else [0]))
    images = _draw(generator, latents, places, classes)
    return images.reshape(-1, side**2, *images.shape[1:])


def _latents(generator: Generator, index: Int[Array, " n"], seed: int) -> Float[Array, "n latent"]:
    bits = noise.random_bits(batch_key(seed, jnp.int32(0)), index, count=generator.latent_size)
    return noise.truncate(generator.prior.draw(bits), generator.prior, generator.truncation)


def _draw(
    generator: Generator, latents: Callable[[Array], Array], places: Int[np.ndarray, " n"], classes: np.ndarray
) -> Images:
    """Draws images of the latents of places, some at once; :func:`jaxgan.runs.load.draw` takes 500 even for a few."""

    @jax.jit
    def batch(places: Array, classes: tuple[Array, ...]) -> Array:
        return to_bytes(generator.images(latents(places), *classes))

    parts = []
    for start in range(0, len(places), AT_ONCE):
        chosen = np.minimum(np.arange(start, start + AT_ONCE), len(places) - 1)
        parts.append(batch(places[chosen], (classes[chosen].astype(np.int32),) if generator.classes else ()))
    return np.concatenate(parts)[: len(places)]
