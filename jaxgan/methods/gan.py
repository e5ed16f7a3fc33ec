"""Generative adversarial networks: a generator and a discriminator train against each other in one pure step.

:func:`step` is algorithm 1 of Goodfellow et al. (2014); the losses are in ``losses``, the penalties in ``penalties``.
``passes`` applies the networks.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import optax
from jax import lax
from jaxtyping import Array, Bool, Float, Key, PyTree

from jaxgan.errors import UserError
from jaxgan.methods.losses import AdversarialLoss, non_saturating
from jaxgan.methods.method import (
    Batch,
    GANState,
    Generator,
    Method,
    Metrics,
    Module,
    Network,
    NetworkState,
    Visualization,
    rows_by_class,
    start_average,
)
from jaxgan.methods.optimization import update, value_and_mean_grad
from jaxgan.methods.passes import (
    Bits,
    Images,
    Labels,
    Logits,
    check,
    classification_loss,
    dropout_words,
    logits_of,
    logits_of_pair,
    require_images,
    unrecorded,
)
from jaxgan.methods.penalties import Penalty
from jaxgan.methods.sampling import samples_of
from jaxgan.nn import noise

Latents = Float[Array, "batch latent"]


class Examples(NamedTuple):
    """The inputs that both updates of a step share, one row per example of the batch."""

    real: Images
    labels: Labels  # class of each real image, and of the fake image in the same row
    bits: Bits


def step(gan: "GAN", state: GANState, batch: Batch, key: Key[Array, ""]) -> tuple[GANState, Metrics]:
    """Updates the discriminator on a real and a generated batch, then the generator against the new discriminator.

    The batch statistics of a network change only in its own update: with both batches for the discriminator, with one
    generated batch for the generator.

    Args:
      gan: the specification.
      state: both networks and both optimizers.
      batch: real images.
      key: the key of this step.

    Returns:
      The next state, and the metrics: both losses, the discriminator's terms, the penalties, and ``gan.loss.metrics``.
      If ``critic_steps`` > 1, the generator's loss is computed on the batch of the discriminator.

    References:
      Goodfellow et al., Generative Adversarial Networks, 2014, algorithm 1.
    """
    bits = noise.named_bits(key, batch.index, gan.bits_per_example)
    examples = Examples(batch.images, (batch.labels,) if gan.classes else (), bits)

    latents = gan.prior.draw(bits["fake_latents"])
    fake = unrecorded(gan.generator, state.generator.variables, latents, *examples.labels)
    require_images(fake, batch.images)
    discriminator, metrics = update_discriminator(gan, state, examples, fake)

    update = partial(update_generator, gan, discriminator, examples)
    if gan.critic_steps == 1:
        generator, averaged, metrics["generator_loss"] = update(state.generator, state.averaged)
    else:
        generator, averaged = lax.cond(
            (state.step + 1) % gan.critic_steps == 0,
            lambda *old: update(*old)[:2],
            lambda *old: old,
            *(state.generator, state.averaged),
        )
    return GANState(state.step + 1, generator, discriminator, averaged), metrics


def discriminator_loss(
    params: PyTree, gan: "GAN", network: NetworkState, examples: Examples, fake: Images, penalize: Bool[Array, ""]
) -> tuple[Float[Array, ""], tuple[Metrics, PyTree]]:
    """Returns (loss, (metrics, batch statistics)) of both batches, with the penalties if ``penalize``.

    It uses only the batch statistics of ``network``: gradients are with respect to ``params``.
    """
    variables, (real, labels, bits) = network.replace(params=params).variables, examples
    (real_logits, fake_logits), recorded = logits_of_pair(gan.discriminator, variables, real, fake, labels, bits)

    def critic(images: Images) -> Logits:
        return logits_of(gan.discriminator, variables, images, labels, bits["real_dropout"])

    def penalty_values() -> Metrics:
        return {p.name: gan.penalty_every * p.value(critic, real, fake, bits[p.name]) for p in gan.penalties}

    terms = gan.loss.discriminator(real_logits, fake_logits)
    if gan.classification_weight:
        terms["classification"] = gan.classification_weight * classification_loss(recorded, labels)
    if gan.penalty_every == 1:
        penalties = penalty_values()
    else:  # gradients are computed inside the branch, but summed over devices only once, after it
        zeros = {name: jnp.zeros_like(real_logits[0], x.dtype) for name, x in jax.eval_shape(penalty_values).items()}
        penalties = lax.cond(penalize, penalty_values, lambda: zeros)
    total = cast(Array, sum(terms.values()) + sum(penalties.values()))
    metrics = {"discriminator_loss": total, **penalties, **gan.loss.metrics(real_logits, fake_logits)}
    metrics |= {f"discriminator_loss_{name}": term for name, term in terms.items()}
    if gan.critic_steps > 1:
        metrics["generator_loss"] = gan.loss.generator(real_logits, fake_logits)
    return total, (metrics, recorded.get("batch_stats", network.batch_stats))


def generator_loss(
    params: PyTree, gan: "GAN", network: NetworkState, discriminator: NetworkState, examples: Examples, latents: Latents
) -> tuple[Float[Array, ""], PyTree]:
    """Returns (loss, batch statistics) of images drawn from latents, against the updated discriminator.

    It uses only the batch statistics of ``network``. Paired losses compare with the real images.
    """
    variables, (real, labels, bits) = network.replace(params=params).variables, examples
    fake, recorded = gan.generator.apply(variables, latents, *labels, train=True, mutable=["batch_stats"])
    logits = partial(logits_of, gan.discriminator, discriminator.variables)
    real_logits = logits(real, labels, bits["real_dropout"]) if gan.loss.paired else None
    return gan.loss.generator(real_logits, logits(fake, labels, bits["generator_dropout"])), recorded


def update_discriminator(gan: "GAN", state: GANState, examples: Examples, fake: Images) -> tuple[NetworkState, Metrics]:
    """Takes one optimizer step of the discriminator; no gradient flows through the generated images."""
    network, penalize = state.discriminator, state.step % gan.penalty_every == 0
    (_, (metrics, batch_stats)), gradients = value_and_mean_grad(
        lambda params, rows: discriminator_loss(params, gan, network, rows[0], rows[1], penalize),
        network.params,
        (examples, fake),
        axis_name=gan.axis_name,
        accumulate=gan.accumulate,
    )
    network = update(network, gradients, batch_stats, gan.discriminator_optimizer)
    return network.replace(params=gan.constrain(network.params)), metrics


def update_generator(
    gan: "GAN", discriminator: NetworkState, examples: Examples, network: NetworkState, averaged: PyTree | None
) -> tuple[NetworkState, PyTree | None, Float[Array, ""]]:
    """Takes one optimizer step of the generator on separate latents: (network, moving average, loss)."""
    (loss, recorded), gradients = value_and_mean_grad(
        lambda params, rows: generator_loss(params, gan, network, discriminator, *rows),
        network.params,
        (examples, gan.prior.draw(examples.bits["generator_latents"])),
        axis_name=gan.axis_name,
        accumulate=gan.accumulate,
    )
    network = update(network, gradients, recorded.get("batch_stats", network.batch_stats), gan.generator_optimizer)
    if averaged is not None:
        averaged = optax.incremental_update(network.params, averaged, 1 - gan.ema_decay)
    return network, averaged, loss


@dataclass(frozen=True)
class GAN:
    """The specification of a GAN; the defaults are those of the chapter's first GAN.

    The generator is a Linen module from ``(latents [batch, latent_size], *, train=False)`` to images in [-1, 1], the
    discriminator one from ``(images, *, train=False)`` to logits [batch]. Either may be an NNX module in
    ``flax.nnx.bridge.ToLinen``. Their only variables are parameters and ``batch_stats``, and they need no ``rngs``. On
    several devices their normalization averages over ``axis_name``.

    With dropout, the discriminator's property ``bits_per_example`` is the number of random words per image that it
    accepts as ``bits=``. If it has a method ``logits_of_pair``, from a real and a generated batch to the logits of
    both, that replaces two calls.

    If ``classes`` > 0, the second argument of both networks is ``labels``: None, or [batch] below ``classes``. Fake
    image i uses the label of real image i, so paired losses compare images of one class. ``classification_weight`` is
    for a discriminator that sows ``projections``, the logits of all classes.
    """

    generator: Module
    discriminator: Module
    image_shape: tuple[int, int, int]  # height, width and channels
    latent_size: int  # size of a latent vector
    generator_optimizer: optax.GradientTransformation
    discriminator_optimizer: optax.GradientTransformation
    prior: noise.Prior = noise.PRIORS["uniform"]  # the distribution of the latents
    truncation: float = 1.0  # factor on the latents of samples; see :func:`jaxgan.nn.noise.truncate`
    classes: int = 0  # number of classes; 0 if unconditional
    loss: AdversarialLoss = field(default_factory=non_saturating)
    penalties: Sequence[Penalty] = ()  # terms added to the discriminator's loss
    # Applies the penalties in every N-th step, with N times their weight: lazy regularization (Karras et al. 2020,
    # section 3.1, without its correction of Adam's decays). Metrics show the mean over all steps.
    penalty_every: int = 1
    classification_weight: float = 0.0  # weight of the class of real images in the discriminator's loss; needs classes
    constrain: Callable[[PyTree], PyTree] = lambda params: params  # applied to the discriminator after each update
    critic_steps: int = 1  # discriminator updates per generator update, each on a new batch and new latents
    # Decay of the moving average of the generator's parameters, which draws samples with the generator's current batch
    # statistics; 0: none.
    ema_decay: float = 0.0
    axis_name: str | None = None  # the mapped axis that the batch is split over; None on one device
    accumulate: int = 1  # gradient accumulation: parts of a device's batch, each with its own batch statistics

    @property
    def bits_per_example(self) -> dict[str, int]:
        """Random words per example in a step, by purpose."""
        dropout, pixels = dropout_words(self.discriminator), math.prod(self.image_shape)
        latents = dict.fromkeys(("fake_latents", "generator_latents"), self.latent_size)
        dropouts = dict.fromkeys(("real_dropout", "fake_dropout", "generator_dropout"), dropout)
        return latents | dropouts | {penalty.name: penalty.bits(pixels) for penalty in self.penalties}

    @property
    def networks(self) -> dict[str, Network]:
        """Both networks, by name."""
        return {
            "generator": Network(self.generator, (self.latent_size,)),
            "discriminator": Network(self.discriminator, self.image_shape),
        }


def gan(generator: Module, discriminator: Module, **options: Any) -> Method:
    """Builds a GAN from two networks; ``options`` are the other fields of :class:`GAN`.

    Raises:
      UserError: if the latent size is too small for the prior, or a field is not what :class:`GAN` says.
    """
    spec = GAN(generator, discriminator, **options)
    check(spec)
    return Method(
        init=partial(init, spec),
        step=partial(step, spec),
        sample=samples_of(partial(trained_generator, spec)),
        visualize=partial(visualize, spec) if spec.classes else None,
        classes=spec.classes,
        generator=partial(trained_generator, spec),
        networks=spec.networks,
        auxiliary=("discriminator",),
        distributions=partial(distributions, spec),
    )


def init(gan: GAN, key: Key[Array, ""]) -> GANState:
    """Initializes both networks and their optimizers."""

    def start(key: Key[Array, ""], network: Network, optimizer: optax.GradientTransformation) -> NetworkState:
        variables = network.module.init(key, jnp.zeros((1, *network.input_shape)))
        if others := variables.keys() - {"params", "batch_stats"}:
            raise UserError(f"a network of a GAN has variables {min(others)!r}, allowed are 'params' and 'batch_stats'")
        if not (params := variables.get("params")):
            raise UserError("a network of a GAN has no parameters, there is nothing to train")
        return NetworkState(params, variables.get("batch_stats", {}), optimizer.init(params))

    optimizers = gan.generator_optimizer, gan.discriminator_optimizer
    generator, discriminator = map(start, jax.random.split(key), gan.networks.values(), optimizers)
    averaged = start_average(generator.params) if gan.ema_decay else None
    return GANState(jnp.zeros((), jnp.int32), generator, discriminator, averaged)


def trained_generator(gan: GAN, state: GANState) -> Generator:
    """Returns the generator in evaluation mode, with the averaged parameters if an average is kept."""
    variables = state.generator.replace(params=state.eval_params).variables
    images = partial(gan.generator.apply, variables, train=False)
    return Generator("generator", gan.latent_size, gan.prior, gan.truncation, gan.classes, images)


COLUMNS = 10  # images per class in the figure


def visualize(gan: GAN, state: GANState, batch: Batch, key: Key[Array, ""]) -> dict[str, Visualization]:
    """Draws a row of samples for each class; a column has the same latents."""
    sample = samples_of(partial(trained_generator, gan))
    row = jax.jit(lambda label: sample(state, key, COLUMNS, jnp.full(COLUMNS, label)))
    return {"classes": rows_by_class(row, gan.classes)}


def distributions(gan: GAN, state: GANState, batch: Batch, key: Key[Array, ""]) -> dict[str, Logits]:
    """Computes logits of held-out images, and of generated images of the same classes, in evaluation mode."""
    labels = (batch.labels,) if gan.classes else ()
    latents = gan.prior.draw(noise.random_bits(key, batch.index, count=gan.latent_size))
    images = {"real": batch.images, "fake": trained_generator(gan, state).images(latents, *labels)}
    logits = partial(gan.discriminator.apply, state.discriminator.variables, train=False)
    return {f"logits/{name}": logits(x, *labels) for name, x in images.items()}
