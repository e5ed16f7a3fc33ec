"""What both designs are given to train from, and what they return. This module needs no PyTorch."""

import contextlib
import math
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, NamedTuple
from unittest.mock import patch

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key, UInt8

from imperative.agreement import Arrays
from jaxgan.errors import UserError
from jaxgan.methods import MethodConfig
from jaxgan.methods.dcgan import DCGAN
from jaxgan.methods.vae import VAE
from jaxgan.methods.vanilla_gan import VanillaGAN
from jaxgan.methods.wgan import WGAN
from jaxgan.nn import noise

Precision = Literal["float32", "float64"]

# The fields that a twin has arguments for; the others keep these configs' defaults, without averaged parameters.
SIZES = {
    VanillaGAN: ("latent_size", "hidden_units"),
    DCGAN: ("latent_size", "width"),
    WGAN: ("latent_size", "width", "critic_steps", "penalty_weight"),
    VAE: ("latent_size", "hidden_units", "beta"),
}


@dataclass(frozen=True)
class Setting:
    """What both designs are given.

    Attributes:
      config: the method; :func:`sizes` says which configs have a twin.
      batches: from the number of a step, the first being 0, to its real images.
      steps: how many steps to take.
      precision: of all numbers, in both designs.
      snapshots: numbers of steps after which to keep every array, beside the metrics of each step.
      seed: of the random numbers, and of the initial weights if none are given.
      weights: initial weights and batch statistics by PyTorch's names; None for those that our method draws.
    """

    config: MethodConfig
    batches: Callable[[int], UInt8[np.ndarray, "batch height width channels"]]
    steps: int
    precision: Precision = "float64"
    snapshots: Collection[int] = ()
    seed: int = 0
    weights: Arrays | None = None

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of an image."""
        return self.batches(0).shape[1:]

    def images(self, step: int) -> Float[np.ndarray, "batch height width channels"]:
        """The real batch of a step in [-1, 1], the same to the last bit for both designs."""
        return self.batches(step).astype(self.precision) / 127.5 - 1

    def key(self, step: int) -> Key[Array, ""]:
        """The key of a step."""
        return jax.random.fold_in(jax.random.key(self.seed), step)


class Trajectory(NamedTuple):
    """What a design did.

    Attributes:
      metrics: one number per step, by the metric's name.
      snapshots: by the number of steps taken, arrays by kind and PyTorch's name, as in
        ``gradient/generator.output.weight``. The kinds are ``weight`` (with batch statistics), ``exp_avg`` and
        ``exp_avg_sq`` (Adam's moments) and, of the networks that the last of these steps updated, ``gradient``.
    """

    metrics: Arrays
    snapshots: dict[int, Arrays]


class Draws(NamedTuple):
    """The random numbers of one step, in the order in which a twin asks for them."""

    latents: tuple[Array, ...]  # for the discriminator's images and the generator's, or a posterior's noise
    masks: tuple[Array, ...]  # dropout of the real batch, of the generated one, and in the generator's update
    epsilon: Array | None  # how far from real to generated images the critic's gradient is penalized


def sizes(config: MethodConfig) -> dict[str, Any]:
    """Reads from a config the arguments of its twin.

    Args:
      config: of one of the four methods that have a twin.

    Returns:
      Arguments of the twin's constructor.

    Raises:
      UserError: if there is no such twin.
    """
    if type(config) not in SIZES:
        raise UserError(f"config: {type(config).__name__} is not allowed, there is no twin of it")
    given = {name: getattr(config, name) for name in SIZES[type(config)]}
    plain = type(config)(**given, ema_decay=0.0)
    for name, value in vars(plain).items():
        if getattr(config, name) != value:
            raise UserError(f"{name}: {getattr(config, name)!r} is not allowed, the twin has {value!r}")
    return given


@contextlib.contextmanager
def arithmetic(precision: Precision) -> Iterator[None]:
    """Computes in a precision, including the latents from N(0, 1).

    Methods draw these in single precision, where the last bit depends on how XLA compiled the inverse error function.
    In double precision that bit would be the largest difference from what another machine recorded.

    Args:
      precision: of all numbers.

    Yields:
      Nothing; methods are built and compiled inside.
    """
    single = jnp.finfo(jnp.float32).epsneg

    def normal(bits: Array) -> Array:
        uniform = jnp.clip(noise.uniform(bits).astype(jnp.float64), -1 + single, 1 - single)
        return math.sqrt(2) * jax.lax.erf_inv(uniform)

    if precision == "float32":
        yield
    else:
        priors = patch.dict(noise.PRIORS, normal=noise.PRIORS["normal"]._replace(draw=normal))
        with jax.enable_x64(True), patch.object(noise, "normal", normal), priors:
            yield


@partial(jax.jit, static_argnames=("config", "count"))
def draws(config: MethodConfig, key: Key[Array, ""], *, count: int) -> Draws:
    """Draws what a method draws in a step, from the same random words.

    Args:
      config: the method.
      key: of the step.
      count: examples in the batch.

    Returns:
      The numbers that the method computes with.
    """
    index, prior = jnp.arange(count), noise.PRIORS[getattr(config, "prior", "normal")]
    if isinstance(config, VAE):
        return Draws((prior.draw(noise.random_bits(key, index, count=config.latent_size)),), (), None)
    units, rate = (config.hidden_units, config.dropout_rate) if isinstance(config, VanillaGAN) else (0, 0.0)
    words = dict.fromkeys(("fake latents", "generator latents"), config.latent_size)
    words |= dict.fromkeys(("real mask", "fake mask", "generator mask"), noise.mask_words(units, rate=rate))
    words |= {"epsilon": int(isinstance(config, WGAN))}
    bits = noise.named_bits(key, index, words)
    return Draws(
        tuple(prior.draw(bits[name]) for name in words if name.endswith("latents")),
        tuple(noise.keep_mask(bits[name], units, rate=rate) / (1 - rate) for name in words if name.endswith("mask"))
        if units
        else (),
        (noise.uniform(bits["epsilon"]) + 1)[:, :, None, None] / 2 if words["epsilon"] else None,
    )


def columns(rows: list[dict[str, Any]]) -> Arrays:
    """Turns the metrics of each step into one curve per metric."""
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}
