"""Generative adversarial networks: a generator and a discriminator that learn from each other, as one pure step."""

import itertools
import math
from collections.abc import Callable, Sequence
from functools import partial

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from jax import lax
from jaxtyping import Array, Float, Int, Key, PyTree

from jaxgan.methods.exhibits import Exhibit, Rows
from jaxgan.methods.gradients import value_and_mean_grad
from jaxgan.methods.losses import AdversarialLoss, non_saturating
from jaxgan.methods.method import Batch, Method, Metrics
from jaxgan.methods.penalties import Penalty
from jaxgan.methods.state import GANState, NetworkState
from jaxgan.nn import noise

Images = Float[Array, "batch height width channels"]
Told = tuple[Int[Array, " batch"], ...]  # what both networks are told of each image: its class, or nothing

ROWS, COLUMNS = 10, 10  # of an exhibit: classes and, of each, images


def gan(
    generator: nn.Module,
    discriminator: nn.Module,
    *,
    image_shape: tuple[int, int, int],
    latent_size: int,
    latent_law: noise.Law,
    sample_law: noise.Law | None = None,
    classes: int = 0,
    generator_optimizer: optax.GradientTransformation,
    discriminator_optimizer: optax.GradientTransformation,
    loss: AdversarialLoss | None = None,
    penalties: Sequence[Penalty] = (),
    penalty_every: int = 1,
    constrain: Callable[[PyTree], PyTree] = lambda params: params,
    critic_steps: int = 1,
    ema_decay: float = 0.0,
    axis_name: str | None = None,
    accumulate: int = 1,
) -> Method:
    """Builds a GAN; without further arguments the chapter's, with cross-entropy and the non-saturating loss.

    A step first updates the discriminator, on the real batch and on as many images of the generator, which gets no
    gradient from it; then the generator, with fresh latents, against the updated discriminator. With ``critic_steps``
    above 1 only one step in so many comes to the generator's part, so that each update of the discriminator has a
    real batch and latents of its own.

    With ``classes`` both networks are told one for each image: a real one's own label, and the generated image in the
    same place of the batch is asked for the same. So what pairs them, a loss or a penalty, stays within a class.

    Running statistics follow the passes that train a network: the discriminator's those on the real and the generated
    batch of its own update, the generator's the one of its own. All other passes leave them alone.

    Args:
      generator: from latents [batch, latent_size] and ``train`` to images in [-1, 1].
      discriminator: from images and the words of its noise (None in evaluation mode) to logits [batch]; its method
        ``judge_pair`` does so for a real and a generated batch at once, and its property ``noise_offsets`` ends with
        the number of words it takes an example. If there are classes, labels come last for both networks.
      image_shape: height, width and channels of an image.
      latent_size: numbers in a latent vector.
      latent_law: from random words to latents, such as :func:`jaxgan.nn.noise.uniform`.
      sample_law: the same for samples; None for the law that is trained with.
      classes: how many classes images are drawn and judged by; 0 for none. Samples are of all classes in turn.
      generator_optimizer: optimizer of the generator.
      discriminator_optimizer: optimizer of the discriminator.
      loss: the game; None for :func:`jaxgan.methods.losses.non_saturating`.
      penalties: what is added to the discriminator's loss.
      penalty_every: steps between penalties, each then so many times as heavy; what the metrics show of them is
        their mean over all steps still (Karras et al. 2020, section 3.1, without its correction of Adam's decays).
      constrain: applied to the discriminator's parameters after each update.
      critic_steps: updates of the discriminator for one of the generator.
      ema_decay: decay of the averaged generator that samples are drawn from; 0 for none. Its running statistics are
        the generator's own, which are averages already.
      axis_name: the mapped axis that the batch is split over; None on one device.
      accumulate: parts that a device's batch is split into, one after the other, to take less memory.
        Batch statistics are then those of a part.

    Returns:
      The method. Its metrics are both losses, the discriminator's by term, the penalties, and what the game shows of
      itself. Where the generator is not updated in each step, its loss is that on the discriminator's batch.

    References:
      Goodfellow et al., Generative Adversarial Networks, 2014, algorithm 1.
    """
    loss = loss or non_saturating()
    value_and_grad = partial(value_and_mean_grad, axis_name=axis_name, accumulate=accumulate)
    # What each example's row of words goes to: latents of both passes; dropout for real, fake and the generator's pass;
    # and what the penalties draw.
    dropout_words, pixels = discriminator.noise_offsets[-1], math.prod(image_shape)
    word_counts = (latent_size,) * 2 + (dropout_words,) * 3 + tuple(penalty.words(pixels) for penalty in penalties)

    def init(key: Key[Array, ""]) -> GANState:
        def network(module: nn.Module, optimizer: optax.GradientTransformation, key, example) -> NetworkState:
            variables = module.init(key, example)
            params = variables["params"]
            return NetworkState(params, variables.get("batch_stats", {}), optimizer.init(params))

        generator_key, discriminator_key = jax.random.split(key)
        first = network(generator, generator_optimizer, generator_key, jnp.zeros((1, latent_size)))
        second = network(discriminator, discriminator_optimizer, discriminator_key, jnp.zeros((1, *image_shape)))
        averaged = jax.tree.map(jnp.copy, first.params) if ema_decay else None
        return GANState(jnp.zeros((), jnp.int32), first, second, averaged)

    def generate(network: NetworkState, latents: Float[Array, "batch latent"], told: Told) -> Images:
        return generator.apply(_variables(network), latents, *told, train=True)

    def update_discriminator(
        network: NetworkState,
        real: Images,
        fake: Images,
        told: Told,
        dropout: Sequence[Array],
        words: Sequence[Array],
        *,
        step: Int[Array, ""],
    ) -> tuple[NetworkState, Metrics]:
        def objective(params: PyTree, examples: PyTree):
            real, fake, told, dropout, words = examples
            now = network.replace(params=params)
            (real_logits, fake_logits), recorded = discriminator.apply(
                _variables(now), real, fake, *dropout[:2], *told, method="judge_pair", mutable=["batch_stats"]
            )

            def critic(images: Images) -> Float[Array, " batch"]:
                return discriminator.apply(_variables(now), images, dropout[0], *told)

            def penalised() -> Metrics:
                due = zip(penalties, words, strict=True)
                return {p.name: penalty_every * p.value(critic, real, fake, bits) for p, bits in due}

            terms = loss.discriminator(real_logits, fake_logits)
            if penalty_every == 1:
                extra = penalised()
            else:  # in a branch there are gradients, but their sum over devices comes once, after it
                nothing = {p.name: jnp.zeros_like(real_logits[0]) for p in penalties}
                extra = lax.cond(step % penalty_every == 0, penalised, lambda: nothing)
            total = sum(terms.values()) + sum(extra.values())
            metrics = {"discriminator_loss": total, **extra, **loss.metrics(real_logits, fake_logits)}
            metrics |= {f"discriminator_loss_{name}": term for name, term in terms.items()}
            if critic_steps > 1:
                metrics["generator_loss"] = loss.generator(real_logits, fake_logits)
            return total, (metrics, recorded)

        examples = (real, fake, told, dropout, words)
        (_, (metrics, recorded)), gradients = value_and_grad(objective, network.params, examples)
        network = _update(network, gradients, recorded, discriminator_optimizer)
        return network.replace(params=constrain(network.params)), metrics

    def update_generator(
        network: NetworkState,
        averaged: PyTree | None,
        judge: NetworkState,
        real: Images,
        latents: Float[Array, "batch latent"],
        told: Told,
        dropout: Sequence[Array],
    ) -> tuple[NetworkState, PyTree | None, Metrics]:
        def objective(params: PyTree, examples: PyTree):
            real, latents, told, dropout = examples
            variables = _variables(network.replace(params=params))
            images, recorded = generator.apply(variables, latents, *told, train=True, mutable=["batch_stats"])
            real_logits = discriminator.apply(_variables(judge), real, dropout[0], *told) if loss.paired else None
            fake_logits = discriminator.apply(_variables(judge), images, dropout[2], *told)
            return loss.generator(real_logits, fake_logits), recorded

        (value, recorded), gradients = value_and_grad(objective, network.params, (real, latents, told, dropout))
        network = _update(network, gradients, recorded, generator_optimizer)
        if averaged is not None:
            averaged = optax.incremental_update(network.params, averaged, 1 - ema_decay)
        return network, averaged, {"generator_loss": value}

    def step(state: GANState, batch: Batch, key: Key[Array, ""]) -> tuple[GANState, Metrics]:
        bits = noise.words(key, batch.index, count=sum(word_counts))
        first, second, *rest = jnp.split(bits, list(itertools.accumulate(word_counts))[:-1], axis=1)
        dropout, words = rest[:3], rest[3:]
        told = (batch.labels,) if classes else ()

        fake = generate(state.generator, latent_law(first), told)
        judge, metrics = update_discriminator(
            state.discriminator, batch.images, fake, told, dropout, words, step=state.step
        )

        def update(network: NetworkState, averaged: PyTree | None) -> tuple[NetworkState, PyTree | None, Metrics]:
            return update_generator(network, averaged, judge, batch.images, latent_law(second), told, dropout)

        if critic_steps == 1:
            network, averaged, more = update(state.generator, state.averaged)
            metrics |= more
        else:
            network, averaged = lax.cond(
                (state.step + 1) % critic_steps == 0,
                lambda *old: update(*old)[:2],
                lambda *old: old,
                *(state.generator, state.averaged),
            )
        return GANState(state.step + 1, network, judge, averaged), metrics

    def sample(state: GANState, key: Key[Array, ""], count: int) -> Float[Array, "count height width channels"]:
        return draw(state, key, (sampled_labels(count),) if classes else (), count=count)

    def sampled_labels(count: int) -> Int[Array, " count"]:
        return jnp.arange(count) % classes

    def draw(state: GANState, key: Key[Array, ""], told: Told, *, count: int) -> Images:
        params = state.generator.params if state.averaged is None else state.averaged
        latents = (sample_law or latent_law)(noise.words(key, jnp.arange(count), count=latent_size))
        return generator.apply(_variables(state.generator.replace(params=params)), latents, *told, train=False)

    def exhibits(state: GANState, batch: Batch, key: Key[Array, ""]) -> dict[str, Exhibit]:
        rows = {
            str(label): draw(state, key, (jnp.full(COLUMNS, label),), count=COLUMNS)
            for label in range(min(classes, ROWS))
        }
        return {"classes": Rows("Samples by the class that was asked for, each column from the same latents", rows)}

    if not classes:
        return Method(init, step, sample)
    return Method(init, step, sample, exhibits=exhibits, sampled_labels=sampled_labels)


def _variables(network: NetworkState) -> dict[str, PyTree]:
    """What Flax applies a module to."""
    return {"params": network.params, "batch_stats": network.batch_stats}


def _update(
    network: NetworkState, gradients: PyTree, recorded: PyTree, optimizer: optax.GradientTransformation
) -> NetworkState:
    """One step of the optimizer, together with the statistics that the pass recorded."""
    updates, opt_state = optimizer.update(gradients, network.opt_state, network.params)
    stats = recorded.get("batch_stats", network.batch_stats)
    return NetworkState(optax.apply_updates(network.params, updates), stats, opt_state)
