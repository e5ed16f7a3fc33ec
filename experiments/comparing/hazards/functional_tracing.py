"""The hazards of tracing in functional JAX: what a compiled function takes from around it, or carries out."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Key

from comparing.hazards.functional_runs import Images, Program, start, train, vanilla_gan
from comparing.hazards.pairs import Pair, Quantities, Setting
from jaxgan.methods import GANState
from jaxgan.runtime.program import SAMPLE_ROLE, role_key


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
