"""The hazards of gradients and draws in a step written by hand in JAX, on this package's networks and losses."""

from collections.abc import Callable
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax
from jaxtyping import Array, Float, Key, PyTree

from comparing.hazards.functional_runs import Program, samples, start, vanilla_gan
from comparing.hazards.pairs import Pair, Quantities, Setting
from jaxgan import config as configs
from jaxgan.methods import losses
from jaxgan.nn import noise
from jaxgan.runtime.program import STEP_ROLE, role_key

GAME = losses.non_saturating()
METHOD = configs.VanillaGAN()
ADAM = optax.adam(METHOD.generator_learning_rate)

Drawn = dict[str, Array]  # real images; the latents of both updates, and the words of their dropout
Gradients = Callable[[Program, PyTree, Drawn], tuple[Array, PyTree]]  # both losses, and gradients by network


def two_keys(key: Key[Array, ""], shape: tuple[int, int]) -> tuple[Float[Array, "..."], Float[Array, "..."]]:
    """Draws the latents of both updates."""
    first, second = jax.random.split(key)
    return jax.random.uniform(first, shape, minval=-1.0), jax.random.uniform(second, shape, minval=-1.0)


def one_key_twice(key: Key[Array, ""], shape: tuple[int, int]) -> tuple[Float[Array, "..."], Float[Array, "..."]]:
    """Draws both with one key, so the same latents."""
    return jax.random.uniform(key, shape, minval=-1.0), jax.random.uniform(key, shape, minval=-1.0)


def generate(program: Program, params: PyTree, latents: Array) -> Array:
    """Draws images."""
    return program.generator.apply({"params": params}, latents)


def judge(program: Program, params: PyTree, images: Array, words: Array | None = None) -> Array:
    """Judges images; with words, by dropout of training mode."""
    return program.discriminator.apply({"params": params}, images, words)


def loss_of_discriminator(real: Array, fake: Array) -> Array:
    """The sum of both cross-entropies."""
    return sum(GAME.discriminator(real, fake).values())


def gradients_of_generator(program: Program, params: PyTree, drawn: Drawn) -> tuple[Array, PyTree]:
    """The generator's loss and its gradients, which are those of its own parameters: no others are asked for."""

    def loss(own: PyTree) -> Array:
        images = generate(program, own, drawn["second"])
        return GAME.generator(None, judge(program, params["discriminator"], images, drawn["words"]))

    return jax.value_and_grad(loss)(params["generator"])


def generated_outside(program: Program, params: PyTree, drawn: Drawn) -> tuple[Array, PyTree]:
    """The discriminator's loss and gradients."""
    fake = generate(program, params["generator"], drawn["first"])

    def loss(own: PyTree) -> Array:
        real_logits, fake_logits = (judge(program, own, x, drawn["words"]) for x in (drawn["real"], fake))
        return loss_of_discriminator(real_logits, fake_logits)

    return jax.value_and_grad(loss)(params["discriminator"])


def generated_inside(program: Program, params: PyTree, drawn: Drawn) -> tuple[Array, PyTree]:
    """The same, with the generator in the function that is differentiated, and nothing that stops gradients."""

    def loss(own: PyTree) -> Array:
        fake = generate(program, params["generator"], drawn["first"])
        real_logits, fake_logits = (judge(program, own, x, drawn["words"]) for x in (drawn["real"], fake))
        return loss_of_discriminator(real_logits, fake_logits)

    return jax.value_and_grad(loss)(params["discriminator"])


def words_forgotten(program: Program, params: PyTree, drawn: Drawn) -> tuple[Array, PyTree]:
    """The same without the words of dropout, which makes it evaluation mode."""
    fake = generate(program, params["generator"], drawn["first"])

    def loss(own: PyTree) -> Array:
        real_logits, fake_logits = (judge(program, own, x) for x in (drawn["real"], fake))
        return loss_of_discriminator(real_logits, fake_logits)

    return jax.value_and_grad(loss)(params["discriminator"])


def stopped(program: Program, params: PyTree, drawn: Drawn) -> Array:
    """Both losses in one, whose gradient is that of both networks."""
    fake = generate(program, params["generator"], drawn["first"])
    opponent = lax.stop_gradient(params["discriminator"])
    generator_loss = GAME.generator(None, judge(program, opponent, fake, drawn["words"]))
    fake = lax.stop_gradient(fake)
    real_logits, fake_logits = (
        judge(program, params["discriminator"], x, drawn["words"]) for x in (drawn["real"], fake)
    )
    return jnp.stack([loss_of_discriminator(real_logits, fake_logits), generator_loss])


def not_stopped(program: Program, params: PyTree, drawn: Drawn) -> Array:
    """The same; the generator also follows the discriminator's loss, against itself."""
    fake = generate(program, params["generator"], drawn["first"])
    opponent = lax.stop_gradient(params["discriminator"])
    generator_loss = GAME.generator(None, judge(program, opponent, fake, drawn["words"]))
    real_logits, fake_logits = (
        judge(program, params["discriminator"], x, drawn["words"]) for x in (drawn["real"], fake)
    )
    return jnp.stack([loss_of_discriminator(real_logits, fake_logits), generator_loss])


@cache
def one_by_one(of_discriminator: Callable) -> Gradients:
    """Takes the gradients of each network from its own loss."""

    def gradients(program: Program, params: PyTree, drawn: Drawn) -> tuple[Array, PyTree]:
        d_loss, d_gradients = of_discriminator(program, params, drawn)
        g_loss, g_gradients = gradients_of_generator(program, params, drawn)
        return jnp.stack([d_loss, g_loss]), {"discriminator": d_gradients, "generator": g_gradients}

    return gradients


@cache
def at_once(both_losses: Callable) -> Gradients:
    """Takes the gradients of both networks from the sum of both losses."""

    def gradients(program: Program, params: PyTree, drawn: Drawn) -> tuple[Array, PyTree]:
        def total(params: PyTree) -> tuple[Array, Array]:
            values = both_losses(program, params, drawn)
            return values.sum(), values

        (_, values), found = jax.value_and_grad(total, has_aux=True)(params)
        return values, found

    return gradients


@cache
def step_of(program: Program, gradients: Gradients) -> Callable[[PyTree, PyTree, Drawn], tuple[PyTree, PyTree, Array]]:
    """Compiles the step of both networks, once for all pairs: parameters, the state of Adam, and the losses."""

    @jax.jit
    def step(params: PyTree, opt_state: PyTree, drawn: Drawn) -> tuple[PyTree, PyTree, Array]:
        values, found = gradients(program, params, drawn)
        updates, opt_state = ADAM.update(found, opt_state)
        return optax.apply_updates(params, updates), opt_state, values

    return step


def train(setting: Setting, gradients: Gradients, *, draw: Callable = two_keys) -> Quantities:
    """Trains the vanilla GAN's networks, both at the same time, by Adam.

    Args:
      setting: on what, and for how long.
      gradients: of both losses.
      draw: from (key, shape) to the latents of both updates.

    Returns:
      The losses of every step, and samples after the last.
    """
    program = vanilla_gan(setting)
    state, step, rows = start(setting, program), step_of(program, gradients), []
    params = {"generator": state.generator.params, "discriminator": state.discriminator.params}
    opt_state, index = ADAM.init(params), jnp.arange(setting.batch_size)
    for number, images in enumerate(setting.batches()):
        for_latents, for_words = jax.random.split(jax.random.fold_in(role_key(setting.seed, STEP_ROLE), number))
        first, second = draw(for_latents, (setting.batch_size, METHOD.latent_size))
        words = noise.words(for_words, index, count=program.discriminator.noise_offsets[-1])
        drawn = {"real": jnp.asarray(images), "first": first, "second": second, "words": words}
        params, opt_state, values = step(params, opt_state, drawn)
        rows.append(np.asarray(values))
    trained = state.replace(generator=state.generator.replace(params=params["generator"]))
    series = dict(zip(("loss of D", "loss of G"), np.array(rows).T, strict=True))
    return {**series, "samples": samples(setting, program, trained)}


def with_discriminator(setting: Setting, of_discriminator: Callable) -> Quantities:
    """Trains with a way of taking the discriminator's gradients."""
    return train(setting, one_by_one(of_discriminator))


def with_both(setting: Setting, both_losses: Callable) -> Quantities:
    """Trains with the gradients of both losses at once."""
    return train(setting, at_once(both_losses))


def with_latents(setting: Setting, draw: Callable, *, checked: bool = False) -> Quantities:
    """Trains with a way of drawing latents."""

    def watched(key: Key[Array, ""], shape: tuple[int, int]) -> tuple[Array, Array]:
        with jax.debug_key_reuse(checked):
            return draw(key, shape)

    return train(setting, one_by_one(generated_outside), draw=watched)


def words_of_two_steps(setting: Setting, draw: Callable) -> Quantities:
    """Draws the package's noise for two steps, watched by JAX."""
    with jax.debug_key_reuse(True):
        first, second = draw(role_key(setting.seed, STEP_ROLE), jnp.arange(setting.batch_size))
    return {"share of words that repeat": np.mean(first == second)}


def by_step(key: Key[Array, ""], index: Array) -> tuple[Array, Array]:
    """A key for each step."""
    second = jax.random.fold_in(key, 1)
    return noise.words(jax.random.fold_in(key, 0), index, count=2), noise.words(second, index, count=2)


def by_run(key: Key[Array, ""], index: Array) -> tuple[Array, Array]:
    """One key for both."""
    return noise.words(key, index, count=2), noise.words(key, index, count=2)


checked = partial(with_latents, checked=True)

PAIRS = {
    "detach": (
        Pair("each network's gradient from its own loss", with_discriminator, generated_outside, generated_inside),
        Pair("one gradient of both losses", with_both, stopped, not_stopped),
    ),
    "eval": (Pair("words of dropout forgotten in training", with_discriminator, generated_outside, words_forgotten),),
    "key": (
        Pair("latents of both updates with one key of `jax.random`", with_latents, two_keys, one_key_twice),
        Pair("the same, under `jax.debug_key_reuse`", checked, two_keys, one_key_twice),
        Pair("this package's noise, under `jax.debug_key_reuse`", words_of_two_steps, by_step, by_run),
    ),
}
