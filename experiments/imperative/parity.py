"""One course of training in both designs, from the same weights, real batches and random numbers, to compare the two.

    setting = Setting(DCGAN(width=4), batches=lambda step: images[step], steps=200, looks=(1, 200))
    ours, theirs = functional(setting), imperative(setting)
    worst = max(differences(ours.looks[200], theirs.looks[200]).values())

Our method draws its random numbers from the key of each step. :func:`draws` takes the same numbers from the same key
and the twin gets them in the place of its own, so that nothing is left to chance. This module needs no PyTorch until
:func:`imperative` is called: a trajectory of the twins that was recorded earlier will do.
"""

import contextlib
import math
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal, NamedTuple
from unittest.mock import patch

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key, PyTree, UInt8

from imperative.agreement import Arrays, differences, growth
from jaxgan import config as configs
from jaxgan import interop
from jaxgan.config import Method as Config
from jaxgan.errors import UserError
from jaxgan.methods import Batch, GANState, Method, NetworkState, build
from jaxgan.methods.factory import LATENT_LAWS
from jaxgan.nn import noise

__all__ = ["Setting", "Trajectory", "arithmetic", "differences", "drawn_weights", "draws", "functional", "growth"]
__all__ += ["imperative", "sizes"]

Precision = Literal["float32", "float64"]

# What a twin can be told; in all else it is as these configs are by default, without averaged parameters.
SIZES = {
    configs.VanillaGAN: ("latent_size", "hidden_units"),
    configs.DCGAN: ("latent_size", "width"),
    configs.WGAN: ("latent_size", "width", "critic_steps", "penalty_weight"),
    configs.VAE: ("latent_size", "hidden_units", "beta"),
}


@dataclass(frozen=True)
class Setting:
    """What both designs are given.

    Attributes:
      config: the method; see :func:`sizes` for what a twin exists of.
      batches: from the number of steps made to the real images of the next one.
      steps: how many steps to make.
      precision: of all numbers, in both designs.
      looks: numbers of steps made after which to keep all that there is to compare, beside the metrics of each step.
      seed: of the random numbers, and of the initial weights where none are given.
      weights: initial weights and batch statistics by PyTorch's names; None for those that our method draws.
    """

    config: Config
    batches: Callable[[int], UInt8[np.ndarray, "batch height width channels"]]
    steps: int
    precision: Precision = "float64"
    looks: Collection[int] = ()
    seed: int = 0
    weights: Arrays | None = None

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of an image."""
        return self.batches(0).shape[1:]

    def images(self, step: int) -> Float[np.ndarray, "batch height width channels"]:
        """The real batch of a step in [-1, 1], to the last bit the same for both designs."""
        return self.batches(step).astype(self.precision) / 127.5 - 1

    def key(self, step: int) -> Key[Array, ""]:
        """The key of a step."""
        return jax.random.fold_in(jax.random.key(self.seed), step)


class Trajectory(NamedTuple):
    """What a design did.

    Attributes:
      metrics: a number for each step, by the metric's name.
      looks: by the number of steps made, arrays by what they are and PyTorch's name, as in
        ``gradient/generator.output.weight``. There are ``weight`` (with batch statistics), ``exp_avg`` and
        ``exp_avg_sq`` (Adam's moments) and, of the networks that the last of these steps updated, ``gradient``.
    """

    metrics: Arrays
    looks: dict[int, Arrays]


class Draws(NamedTuple):
    """The random numbers of one step, in the order in which a twin asks for them."""

    latents: tuple[Array, ...]  # for the discriminator's images and the generator's, or the noise of a posterior
    masks: tuple[Array, ...]  # what dropout keeps of the real batch, of the generated one, and in the generator's pass
    shares: Array | None  # where between real and generated images a slope is measured


def sizes(config: Config) -> dict[str, Any]:
    """Reads from a config what its twin is to be told.

    Args:
      config: of one of the four methods that have a twin.

    Returns:
      Arguments of the twin's constructor.

    Raises:
      UserError: if no twin is like that.
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
    """Has numbers computed in a precision, the latents from N(0, 1) among them.

    Methods draw these in single precision always, where the last bit depends on how XLA compiled the inverse error
    function. In double precision that would be the largest difference from what was recorded elsewhere.

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
        laws = patch.dict(LATENT_LAWS, normal=normal)
        with jax.enable_x64(True), patch.object(noise, "normal", normal), laws:
            yield


@partial(jax.jit, static_argnames=("config", "count"))
def draws(config: Config, key: Key[Array, ""], *, count: int) -> Draws:
    """Draws what a method draws in a step.

    Args:
      config: the method.
      key: of the step.
      count: examples in the batch.

    Returns:
      The numbers, as the method has them.
    """
    n, passes, units, shares = config.latent_size, 2, 0, int(isinstance(config, configs.WGAN))
    law = LATENT_LAWS["normal" if isinstance(config, configs.VAE) else config.latent_law]
    if isinstance(config, configs.VAE):
        passes = 1
    if isinstance(config, configs.VanillaGAN):
        units, rate = config.hidden_units, config.dropout_rate
    dropout = noise.mask_words(units, rate=rate) if units else 0
    bits = noise.words(key, jnp.arange(count), count=passes * n + 3 * dropout + shares)
    latents, rest = jnp.split(bits[:, : passes * n], passes, axis=1), bits[:, passes * n :]
    masks = jnp.split(rest, 3, axis=1) if units else ()
    return Draws(
        tuple(law(part) for part in latents),
        tuple(noise.keep_mask(part, units, rate=rate) / (1 - rate) for part in masks),
        (noise.uniform(rest[:, -1:]) + 1)[:, :, None, None] / 2 if shares else None,
    )


def initial_state(setting: Setting, method: Method) -> PyTree:
    """Makes the state that our method begins with.

    Args:
      setting: with the weights, or the seed to draw them from.
      method: whose state it is.

    Returns:
      The state, in the precision of the setting.
    """
    if setting.weights is None:
        state = jax.jit(method.init)(jax.random.key(setting.seed))
    else:  # what is not weights, Adam's moments and the counts of steps, begins at zero
        shapes = jax.eval_shape(method.init, jax.random.key(0))
        state = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), shapes)
    types = {np.dtype("float32"): setting.precision, np.dtype("float64"): setting.precision}
    state = jax.tree.map(lambda x: x.astype(types.get(x.dtype, x.dtype)), state)
    return state if setting.weights is None else interop.with_weights(state, setting.weights)


def functional(setting: Setting, *, method: Method | None = None) -> Trajectory:
    """Trains our method.

    Args:
      setting: how.
      method: what to train in place of what the config describes, built in the same :func:`arithmetic`.

    Returns:
      What happened.
    """
    with arithmetic(setting.precision):
        method = method or build(setting.config, image_shape=setting.image_shape)
        step, state = jax.jit(method.step), initial_state(setting, method)
        rows, looks = [], {}
        for i in range(setting.steps):
            images, before = jnp.asarray(setting.images(i)), state
            index = jnp.arange(len(images))
            state, metrics = step(before, Batch(images, index, index), setting.key(i))
            rows.append(metrics)
            if i + 1 in setting.looks:
                looks[i + 1] = look(before, state, decay=setting.config.beta1)
        return Trajectory(columns(jax.device_get(rows)), looks)


def look(before: PyTree, after: PyTree, *, decay: float) -> Arrays:
    """Collects all that there is to compare after a step of our method.

    The gradients are those that Adam saw: its first moment went from m to decay m + (1 - decay) gradient.

    Args:
      before: the state before the step.
      after: the state after it.
      decay: of Adam's first moment.

    Returns:
      Arrays as in :class:`Trajectory`.
    """
    found = {f"weight/{name}": array for name, array in interop.weights(after).items()}
    for (prefix, network), (_, old_network) in zip(_networks(after), _networks(before), strict=True):
        old, new = interop.adam_state(old_network), interop.adam_state(network)
        for name in new.exp_avg:
            found[f"exp_avg/{prefix}{name}"] = new.exp_avg[name]
            found[f"exp_avg_sq/{prefix}{name}"] = new.exp_avg_sq[name]
            if new.step > old.step:
                gradient = (new.exp_avg[name] - decay * old.exp_avg[name]) / (1 - decay)
                found[f"gradient/{prefix}{name}"] = gradient
    return found


def _networks(state: PyTree) -> list[tuple[str, NetworkState]]:
    """What trains with one optimizer, after the prefix of its names."""
    if isinstance(state, GANState):
        return [("generator.", state.generator), ("discriminator.", state.discriminator)]
    return [("", state.network)]


def imperative(setting: Setting) -> Trajectory:
    """Trains the PyTorch twin; see :func:`functional`."""
    from imperative.injection import train

    with arithmetic(setting.precision):
        return train(replace(setting, weights=setting.weights or drawn_weights(setting)))


def drawn_weights(setting: Setting) -> Arrays:
    """The weights that our method begins with, by PyTorch's names."""
    with arithmetic(setting.precision):
        return interop.weights(initial_state(setting, build(setting.config, image_shape=setting.image_shape)))


def columns(rows: list[dict[str, Any]]) -> Arrays:
    """Turns the metrics of each step into a curve for each metric."""
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}
