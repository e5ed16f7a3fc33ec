"""The hazards in functional JAX: this package's methods, used with one mistake at a time."""

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Float, Key

from comparing.hazards.pairs import Pair, Quantities, Setting
from jaxgan import config as configs
from jaxgan import methods
from jaxgan.methods import Batch, GANState, Metrics
from jaxgan.nn import noise
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


def drawn_after(setting: Setting, draw: Callable) -> Quantities:
    """Draws from the vanilla GAN before and after training."""
    program = vanilla_gan(setting)
    key = role_key(setting.seed, SAMPLE_ROLE)
    return {"samples": draw(program, start(setting, program), key, setting)}


def state_as_argument(program: Program, state: GANState, key: Key[Array, ""], setting: Setting) -> Images:
    """Hands the state to the compiled function each time."""
    draw = jax.jit(lambda state, key: program.drawn(state, key, setting.count))
    draw(state, key)
    state, _ = train(setting, program, state)
    return draw(state, key)


def state_closed_over(program: Program, state: GANState, key: Key[Array, ""], setting: Setting) -> Images:
    """Lets the function take the state from around it; compiled, it keeps the values of the first call."""
    draw = jax.jit(lambda key: program.drawn(state, key, setting.count))
    draw(key)
    state, _ = train(setting, program, state)
    return draw(key)


def kept_as_a_copy(program: Program, state: GANState, key: Key[Array, ""], setting: Setting) -> Images:
    """Keeps a copy of the weights, trains on, and goes back to them."""
    kept = jax.tree.map(jnp.copy, state)
    state, _ = train(setting, program, state)
    return program.sample(kept, key, setting.count)


def kept_as_a_reference(program: Program, state: GANState, key: Key[Array, ""], setting: Setting) -> Images:
    """Keeps the weights themselves; nothing writes to them."""
    kept = state
    state, _ = train(setting, program, state)
    return program.sample(kept, key, setting.count)


def recorded(setting: Setting, record: Callable) -> Quantities:
    """Records D(x) of every batch by a compiled function, with an untrained discriminator."""
    return {"D(x), by batch": record(probability_of(setting), list(setting.batches()))}


def recorded_under_check(setting: Setting, record: Callable) -> Quantities:
    """Records the mean pixel of two batches: JAX's search for whoever holds on to a tracer takes long for each."""
    with jax.check_tracer_leaks():
        return {"mean pixel": record(jnp.mean, list(setting.batches())[:2])}


def counted(setting: Setting, count: Callable) -> Quantities:
    """Counts the images of which D(x) was measured."""
    return {"images counted": count(probability_of(setting), list(setting.batches()))}


def probability_of(setting: Setting) -> Callable[[Images], Array]:
    """Makes the function from a batch to its mean D(x), of an untrained discriminator."""
    program = vanilla_gan(setting)
    variables = {"params": start(setting, program).discriminator.params}
    return lambda images: jax.nn.sigmoid(program.discriminator.apply(variables, images)).mean()


def returned(probability: Callable, batches: list[Images]) -> Array:
    """Records what the compiled function returns."""
    record = []
    measure = jax.jit(lambda images: probability(images))
    for images in batches:
        record.append(measure(images))
    return jnp.stack(record)


def appended_inside(probability: Callable, batches: list[Images]) -> Array:
    """Records inside of it, where there are no values yet."""
    record = []
    measure = jax.jit(lambda images: record.append(probability(images)))
    for images in batches:
        measure(images)
    return jnp.stack(record)


def counted_outside(probability: Callable, batches: list[Images]) -> int:
    """Counts the images that were measured."""
    counts = []
    measure = jax.jit(lambda images: probability(images))
    for images in batches:
        counts.append(len(images))
        measure(images)
    return sum(counts)


def counted_inside(probability: Callable, batches: list[Images]) -> int:
    """Counts them in the compiled function, which Python runs through once."""
    counts = []
    measure = jax.jit(lambda images: (counts.append(len(images)), probability(images)))
    for images in batches:
        measure(images)
    return sum(counts)


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
    "closure": (
        Pair("a compiled function that draws, from before training", drawn_after, state_as_argument, state_closed_over),
        Pair("weights kept to go back to", drawn_after, kept_as_a_copy, kept_as_a_reference),
    ),
    "tracer": (
        Pair("D(x) recorded inside of a compiled function", recorded, returned, appended_inside),
        Pair("the like, under `jax.check_tracer_leaks`", recorded_under_check, returned, appended_inside),
        Pair("images counted inside of a compiled function", counted, counted_outside, counted_inside),
    ),
}
