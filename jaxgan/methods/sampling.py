"""Samples of a generator: its latents and labels, which depend only on the key."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float, Int, Key

from jaxgan.errors import UserError
from jaxgan.methods.method import Generator
from jaxgan.nn import noise

Images = Float[Array, "batch height width channels"]
State = Any


def draw_latents(
    generator: Generator, key: Key[Array, ""], index: Int[Array, " n"], *, truncation: float | None = None
) -> Float[Array, "n latent"]:
    """Draws latents, each from the key and its index; ``truncation`` defaults to that of the generator."""
    bits = noise.random_bits(key, index, count=generator.latent_size)
    factor = generator.truncation if truncation is None else truncation
    return noise.truncate(generator.prior.draw(bits), generator.prior, factor)


def samples_of(generator: Callable[[State], Generator]) -> Callable[..., Images]:
    """Makes a method's ``sample`` from its ``generator``: images of latents that depend only on the key."""

    def sample(state: State, key: Key[Array, ""], count: int, labels: Int[Array, " count"] | None = None) -> Images:
        if not isinstance(count, int | np.integer) or count < 0:
            raise UserError(f"count: {count} is not allowed, it must be an integer of at least 0, static under jit")
        trained = generator(state)
        latents = draw_latents(trained, key, jnp.arange(count))
        return trained.images(latents, *labels_asked(labels, count, classes=trained.classes))

    return sample


def labels_asked(labels: Int[Array, " count"] | None, count: int, *, classes: int) -> tuple[Int[Array, " count"], ...]:
    """Returns the labels of samples as arguments of a network; by default they cycle through the classes.

    Args:
      labels: class of each sample, or None.
      count: number of samples.
      classes: number of classes that the network is conditioned on; 0 if unconditional.

    Returns:
      One array of labels, or an empty tuple if the network is unconditional.

    Raises:
      UserError: if there is not one class for each sample, or the network is unconditional.
    """
    if labels is None:
        return (jnp.arange(count) % classes,) if classes else ()
    if not classes:
        raise UserError("labels: this method is unconditional, leave them out")
    labels = jnp.asarray(labels)
    if labels.shape != (count,) or not jnp.issubdtype(labels.dtype, jnp.integer):
        raise UserError(f"labels: {labels.dtype} of shape {labels.shape} is not allowed, give {count} integers")
    if not isinstance(labels, Tracer) and (wrong := labels[(labels < 0) | (labels >= classes)]).size:
        raise UserError(f"labels: {wrong[0]} is not allowed, the classes are 0 to {classes - 1}")
    return (labels,)
