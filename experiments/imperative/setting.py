"""The inputs and outputs of a training that both designs share. This module needs no PyTorch."""

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

# Fields that are arguments of the twin; all others must have their defaults, with averaged parameters off.
SIZES = {
    VanillaGAN: ("latent_size", "hidden_units"),
    DCGAN: ("latent_size", "width"),
    WGAN: ("latent_size", "width", "critic_steps", "penalty_weight"),
    VAE: ("latent_size", "hidden_units", "beta"),
}


@dataclass(frozen=True)
class Setting:
    """The inputs of a training in both designs.

    Attributes:
      config: the method; :func:`sizes` says which configs have a twin.
      batches: maps the number of a step, from 0, to its real images.
      steps: number of steps.
      precision: dtype of all numbers, in both designs.
      snapshots: numbers of steps after which to keep every array, beside the metrics of each step.
      seed: seed of the random numbers, and of the initial weights if none are given.
      weights: initial weights and batch statistics by PyTorch's names; None: drawn by our method.
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
        """Returns height, width and channels of an image."""
        return self.batches(0).shape[1:]

    def images(self, step: int) -> Float[np.ndarray, "batch height width channels"]:
        """Returns the real batch of a step in [-1, 1], bit for bit the same for both designs."""
        return self.batches(step).astype(self.precision) / 127.5 - 1

    def key(self, step: int) -> Key[Array, ""]:
        """Returns the key of a step."""
        return jax.random.fold_in(jax.random.key(self.seed), step)


class Trajectory(NamedTuple):
    """The result of a training in one design.

    Attributes:
      metrics: one number per step, by name of the metric.
      snapshots: by number of steps, arrays by kind and PyTorch's name, such as ``gradient/generator.output.weight``.
        The kinds are ``weight`` (with batch statistics), ``exp_avg`` and ``exp_avg_sq`` (Adam's moments), and
        ``gradient`` of the networks that the last step updated.
    """

    metrics: Arrays
    snapshots: dict[int, Arrays]


class Draws(NamedTuple):
    """The random numbers of one step, in the order in which a twin draws them."""

    latents: tuple[Array, ...]  # of the discriminator's and the generator's update, or the noise of a posterior
    masks: tuple[Array, ...]  # dropout masks of the real batch, the generated batch, and the generator's update
    epsilon: Array | None  # interpolation weights between real and generated images, for the gradient penalty


def sizes(config: MethodConfig) -> dict[str, Any]:
    """Returns the arguments of a config's twin.

    Args:
      config: config of one of the four methods that have a twin.

    Returns:
      The arguments of the twin's constructor.

    Raises:
      UserError: if the config has no twin.
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
    """Sets the precision of all numbers, including latents from N(0, 1).

    Methods draw latents in single precision, where the last bit depends on how XLA compiles the inverse error function.
    In double precision, that bit would be the largest difference from a trajectory recorded on another machine.

    Args:
      precision: dtype of all numbers.

    Yields:
      Nothing; build and compile methods inside.
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
    """Draws the random numbers that a method uses in a step, from the same random bits.

    Args:
      config: the method.
      key: key of the step.
      count: batch size.

    Returns:
      The random numbers of the step.
    """
    index, prior = jnp.arange(count), noise.PRIORS[getattr(config, "prior", "normal")]
    if isinstance(config, VAE):
        return Draws((prior.draw(noise.random_bits(key, index, count=config.latent_size)),), (), None)
    units, rate = (config.hidden_units, config.dropout_rate) if isinstance(config, VanillaGAN) else (0, 0.0)
    counts = dict.fromkeys(("fake latents", "generator latents"), config.latent_size)
    counts |= dict.fromkeys(("real mask", "fake mask", "generator mask"), noise.mask_words(units, rate=rate))
    counts |= {"epsilon": int(isinstance(config, WGAN))}
    bits = noise.named_bits(key, index, counts)
    return Draws(
        tuple(prior.draw(bits[name]) for name in counts if name.endswith("latents")),
        tuple(noise.keep_mask(bits[name], units, rate=rate) / (1 - rate) for name in counts if name.endswith("mask"))
        if units
        else (),
        (noise.uniform(bits["epsilon"]) + 1)[:, :, None, None] / 2 if counts["epsilon"] else None,
    )


def columns(rows: list[dict[str, Any]]) -> Arrays:
    """Turns the metrics of each step into one curve per metric."""
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}
