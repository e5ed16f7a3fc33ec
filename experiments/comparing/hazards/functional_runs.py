"""The programs in functional JAX that the hazards are put into: a method of this package, trained from a seed on."""

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Float, Key

from comparing.hazards.pairs import Quantities, Setting
from jaxgan import config as configs
from jaxgan import methods
from jaxgan.methods import Batch, GANState, Metrics
from jaxgan.runtime.program import INIT_ROLE, SAMPLE_ROLE, STEP_ROLE, role_key

RECORDED = {"discriminator_loss": "loss of D", "generator_loss": "loss of G", "real_probability": "D(x) in training"}

Images = Float[Array, "batch height width channels"]


class Program(NamedTuple):
    """A method's functions, compiled."""

    init: Callable[[Key[Array, ""]], GANState]
    step: Callable[[GANState, Batch, Key[Array, ""]], tuple[GANState, Metrics]]
    donating_step: Callable[[GANState, Batch, Key[Array, ""]], tuple[GANState, Metrics]]  # it uses its state up
    sample: Callable[[GANState, Key[Array, ""], int], Images]
    drawn: Callable[[GANState, Key[Array, ""], int], Images]  # the same, not compiled
    generator: nn.Module
    discriminator: nn.Module


Advance = Callable[[Program, GANState, Batch, Key[Array, ""]], tuple[GANState, Metrics]]


@cache
def program_of(method: configs.Method, image_shape: tuple[int, int, int]) -> Program:
    """Builds a method, and compiles it once for all pairs."""
    built, modules = methods.build(method, image_shape=image_shape), methods.networks(method, image_shape=image_shape)
    return Program(
        jax.jit(built.init),
        jax.jit(built.step),
        jax.jit(built.step, donate_argnums=0),
        jax.jit(built.sample, static_argnums=2),
        built.sample,
        *(modules[name][0] for name in ("generator", "discriminator")),
    )


def vanilla_gan(setting: Setting) -> Program:
    """The vanilla GAN."""
    return program_of(configs.VanillaGAN(), setting.images.shape[1:])


def small_dcgan(setting: Setting) -> Program:
    """A narrow DCGAN, for its batch statistics."""
    return program_of(configs.DCGAN(width=setting.width), setting.images.shape[1:])


def folded(program: Program, state: GANState, batch: Batch, key: Key[Array, ""]) -> tuple[GANState, Metrics]:
    """A step with a key of its own."""
    key = jax.random.fold_in(key, state.step)
    return program.step(state, batch, key)


def start(setting: Setting, program: Program) -> GANState:
    """The state before training."""
    return program.init(role_key(setting.seed, INIT_ROLE))


def train(
    setting: Setting,
    program: Program,
    state: GANState,
    *,
    advance: Advance = folded,
    look: Callable[[Program, GANState], Any] = lambda program, state: None,
) -> tuple[GANState, dict[str, np.ndarray]]:
    """Trains a method.

    Args:
      setting: on what, and for how long.
      program: what is trained.
      state: where it stands.
      advance: makes a step.
      look: what is done on the way, every ``setting.look_every`` steps.

    Returns:
      The state after training; losses and D(x) of every step, and samples from latents that depend on the seed alone.
    """
    index, rows = jnp.arange(setting.batch_size), []
    for number, images in enumerate(setting.batches()):
        batch = Batch(jnp.asarray(images), jnp.zeros_like(index), index)
        state, metrics = advance(program, state, batch, role_key(setting.seed, STEP_ROLE))
        rows.append([float(metrics[name]) for name in RECORDED])
        if setting.looks(number):
            look(program, state)
    series = dict(zip(RECORDED.values(), np.array(rows).T, strict=True))
    return state, {**series, "samples": samples(setting, program, state)}


def samples(setting: Setting, program: Program, state: GANState) -> np.ndarray:
    """Draws from the latents that all pairs are compared by."""
    return np.asarray(program.sample(state, role_key(setting.seed, SAMPLE_ROLE), setting.count))


def with_step(setting: Setting, advance: Advance) -> Quantities:
    """Trains the vanilla GAN with a way of making steps."""
    program = vanilla_gan(setting)
    return train(setting, program, start(setting, program), advance=advance)[1]


def with_look(setting: Setting, look: Callable) -> Quantities:
    """Trains the vanilla GAN and looks at samples on the way."""
    program = vanilla_gan(setting)
    return train(setting, program, start(setting, program), look=look)[1]


def with_look_at_dcgan(setting: Setting, look: Callable) -> Quantities:
    """Trains a DCGAN and looks at samples on the way."""
    program = small_dcgan(setting)
    return train(setting, program, start(setting, program), look=look)[1]
