"""The hazards of state in functional JAX: what a step returns, modes, running statistics, and keys."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Key

from comparing.hazards.functional_runs import (
    Images,
    Program,
    folded,
    small_dcgan,
    start,
    train,
    vanilla_gan,
    with_look,
    with_look_at_dcgan,
    with_step,
)
from comparing.hazards.pairs import Pair, Quantities, Setting
from jaxgan import config as configs
from jaxgan.methods import Batch, GANState, Metrics
from jaxgan.nn import noise
from jaxgan.runtime.program import SAMPLE_ROLE, STEP_ROLE, role_key


def one_pass(program: Program, state: GANState, batch: Batch, key: Key[Array, ""]) -> tuple[GANState, Metrics]:
    """A step."""
    key = jax.random.fold_in(key, state.step)
    return program.step(state, batch, key)


def a_pass_before(program: Program, state: GANState, batch: Batch, key: Key[Array, ""]) -> tuple[GANState, Metrics]:
    """A step after gradients that nobody resets."""
    key = jax.random.fold_in(key, state.step)
    program.step(state, batch, jax.random.fold_in(key, 1))
    return program.step(state, batch, key)


def state_dropped(program: Program, state: GANState, batch: Batch, key: Key[Array, ""]) -> tuple[GANState, Metrics]:
    """A step whose new state is forgotten."""
    key = jax.random.fold_in(key, state.step)
    _, metrics = program.step(state, batch, key)
    return state, metrics


def donated(program: Program, state: GANState, batch: Batch, key: Key[Array, ""]) -> tuple[GANState, Metrics]:
    """A step that uses its state up, to write the new one in its place."""
    key = jax.random.fold_in(key, int(state.step))
    state, metrics = program.donating_step(state, batch, key)
    return state, metrics


def donated_and_dropped(
    program: Program, state: GANState, batch: Batch, key: Key[Array, ""]
) -> tuple[GANState, Metrics]:
    """The same, whose new state is forgotten."""
    key = jax.random.fold_in(key, int(state.step))
    _, metrics = program.donating_step(state, batch, key)
    return state, metrics


def judged(setting: Setting, probabilities: Callable) -> Quantities:
    """Trains the vanilla GAN, then asks its discriminator about images of the data."""
    program = vanilla_gan(setting)
    state, _ = train(setting, program, start(setting, program))
    return {"D(x), by image": probabilities(program, state, jnp.asarray(next(setting.batches())))}


def mode_given(program: Program, state: GANState, images: Images) -> Array:
    """What the discriminator takes each image for."""
    variables = {"params": state.discriminator.params}
    return jax.nn.sigmoid(program.discriminator.apply(variables, images, bits=None))


def mode_forgotten(program: Program, state: GANState, images: Images) -> Array:
    """The same, without a word on the mode."""
    variables = {"params": state.discriminator.params}
    return jax.nn.sigmoid(program.discriminator.apply(variables, images))


def look_in_evaluation_mode(program: Program, state: GANState) -> Array:
    """A look at samples."""
    variables = {"params": state.generator.params, "batch_stats": state.generator.batch_stats}
    return program.generator.apply(variables, latents(program), train=False)


def look_in_training_mode(program: Program, state: GANState) -> Array:
    """A look in the wrong mode."""
    variables = {"params": state.generator.params, "batch_stats": state.generator.batch_stats}
    return program.generator.apply(variables, latents(program), train=True)


def latents(program: Program, count: int = 16) -> Array:
    """Latents for a look at a DCGAN's samples."""
    size = configs.DCGAN().latent_size
    return noise.normal(noise.words(role_key(1, SAMPLE_ROLE), jnp.arange(count), count=size))


def pictures_of_the_look(setting: Setting, look: Callable) -> Quantities:
    """Trains a DCGAN and compares what a look shows."""
    program = small_dcgan(setting)
    state, _ = train(setting, program, start(setting, program))
    return {"pictures of the look": look(program, state)}


def not_looking(program: Program, state: GANState) -> None:
    """Trains on."""
    return


def looking(program: Program, state: GANState) -> Array:
    """A look at one sample, by a key of its own."""
    return program.sample(state, role_key(0, SAMPLE_ROLE), 1)


def in_a_chain(setting: Setting, split_for_look: Callable) -> Quantities:
    """Trains the vanilla GAN with keys that are split off one after the other."""
    program, chain = vanilla_gan(setting), role_key(setting.seed, STEP_ROLE)

    def advance(program: Program, state: GANState, batch: Batch, _: Array) -> tuple[GANState, Metrics]:
        nonlocal chain
        if setting.looks(int(state.step)):
            chain, for_look = split_for_look(chain)
            program.sample(state, for_look, 1)
        chain, own = jax.random.split(chain)
        return program.step(state, batch, own)

    return train(setting, program, start(setting, program), advance=advance)[1]


def folded_off(chain: Array) -> tuple[Array, Array]:
    """A key for a look, beside the chain."""
    for_look = jax.random.fold_in(chain, SAMPLE_ROLE)
    return chain, for_look


def split_off(chain: Array) -> tuple[Array, Array]:
    """A key for a look, of the chain; all keys after it are others."""
    chain, for_look = jax.random.split(chain)
    return chain, for_look


def same_key(program: Program, state: GANState, batch: Batch, key: Key[Array, ""]) -> tuple[GANState, Metrics]:
    """Steps with one key; each batch meets the same latents and the same dropout."""
    return program.step(state, batch, key)


PAIRS = {
    "zero_grad": (
        Pair("gradients of one more pass before each step", with_step, one_pass, a_pass_before),
        Pair("the state that a step returns is forgotten", with_step, one_pass, state_dropped),
        Pair("the same, its argument donated", with_step, donated, donated_and_dropped),
    ),
    "eval": (Pair("D(x) measured after training", judged, mode_given, mode_forgotten),),
    "statistics": (
        Pair("looks at 16 samples", with_look_at_dcgan, look_in_evaluation_mode, look_in_training_mode),
        Pair("the look itself", pictures_of_the_look, look_in_evaluation_mode, look_in_training_mode),
    ),
    "stream": (
        Pair("looks at one sample", with_look, not_looking, looking),
        Pair("looks at one sample, keys split in a chain", in_a_chain, folded_off, split_off),
    ),
    "key": (Pair("a step with the run's key instead of its own", with_step, folded, same_key),),
}
