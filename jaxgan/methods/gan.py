"""Generative adversarial networks: a generator and a discriminator that train against each other, as one pure step.

:func:`step` is algorithm 1 of Goodfellow et al. (2014); the losses are in ``losses``, the penalties in ``penalties``.
How it applies the networks is in ``passes``.
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
    samples_of,
)
from jaxgan.methods.optimization import update, value_and_mean_grad
from jaxgan.methods.passes import Bits, Images, Labels, Logits, dropout_words, logits_of, logits_of_pair, unrecorded
from jaxgan.methods.penalties import Penalty
from jaxgan.nn import noise

Latents = Float[Array, "batch latent"]


class Examples(NamedTuple):
    """What both updates of a step share, a row for each example of the batch."""

    real: Images
    labels: Labels  # of the real images, and of the fake image in the same place
    bits: Bits


def step(gan: "GAN", state: GANState, batch: Batch, key: Key[Array, ""]) -> tuple[GANState, Metrics]:
    """Updates the discriminator on a real and a generated batch, then the generator against the new discriminator.

    Batch statistics follow the passes that train a network: the discriminator's those of its own update, the
    generator's the one of its own.

    Args:
      gan: what is trained.
      state: both networks and both optimizers.
      batch: real images.
      key: the key of this step.

    Returns:
      The next state, and the metrics: both losses, the discriminator's by term, the penalties, and those of the loss.
      With ``critic_steps`` above 1 the generator's loss is that on the discriminator's batch.

    References:
      Goodfellow et al., Generative Adversarial Networks, 2014, algorithm 1.
    """
    bits = noise.named_bits(key, batch.index, gan.bits_per_example)
    examples = Examples(batch.images, (batch.labels,) if gan.classes else (), bits)

    latents = gan.prior.draw(bits["fake_latents"])
    fake = unrecorded(gan.generator, state.generator.variables, latents, *examples.labels)
    if fake.shape != batch.images.shape:
        shapes = f"{fake.shape[1:]}, those of the data must be {batch.images.shape[1:]}"
        raise UserError(f"generator: its images are of shape {shapes}")
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
    """The loss of both batches, plus the penalties in steps that ``penalize``: (loss, (metrics, batch statistics)).

    Of ``network`` only the batch statistics count: gradients are with respect to ``params``.
    """
    variables, (real, labels, bits) = network.replace(params=params).variables, examples
    (real_logits, fake_logits), recorded = logits_of_pair(gan.discriminator, variables, real, fake, labels, bits)

    def critic(images: Images) -> Logits:
        return logits_of(gan.discriminator, variables, images, labels, bits["real_dropout"])

    def penalty_values() -> Metrics:
        return {p.name: gan.penalty_every * p.value(critic, real, fake, bits[p.name]) for p in gan.penalties}

    terms = gan.loss.discriminator(real_logits, fake_logits)
    if gan.penalty_every == 1:
        penalties = penalty_values()
    else:  # gradients are taken inside of the branch, but their sum over devices comes once, after it
        zeros = {name: jnp.zeros_like(real_logits[0], x.dtype) for name, x in jax.eval_shape(penalty_values).items()}
        penalties = lax.cond(penalize, penalty_values, lambda: zeros)
    total = cast(Array, sum(terms.values()) + sum(penalties.values()))
    metrics = {"discriminator_loss": total, **penalties, **gan.loss.metrics(real_logits, fake_logits)}
    metrics |= {f"discriminator_loss_{name}": term for name, term in terms.items()}
    if gan.critic_steps > 1:
        metrics["generator_loss"] = gan.loss.generator(real_logits, fake_logits)
    return total, (metrics, recorded)


def generator_loss(
    params: PyTree, gan: "GAN", network: NetworkState, discriminator: NetworkState, examples: Examples, latents: Latents
) -> tuple[Float[Array, ""], PyTree]:
    """The loss of images drawn from latents, against the updated discriminator: (loss, batch statistics).

    Of ``network`` only the batch statistics count. Paired losses compare with the real images.
    """
    variables, (real, labels, bits) = network.replace(params=params).variables, examples
    fake, recorded = gan.generator.apply(variables, latents, *labels, train=True, mutable=["batch_stats"])
    logits = partial(logits_of, gan.discriminator, discriminator.variables)
    real_logits = logits(real, labels, bits["real_dropout"]) if gan.loss.paired else None
    return gan.loss.generator(real_logits, logits(fake, labels, bits["generator_dropout"])), recorded


def update_discriminator(gan: "GAN", state: GANState, examples: Examples, fake: Images) -> tuple[NetworkState, Metrics]:
    """One step of the discriminator's optimizer; the generated images carry no gradient."""
    network, penalize = state.discriminator, state.step % gan.penalty_every == 0
    (_, (metrics, recorded)), gradients = value_and_mean_grad(
        lambda params, rows: discriminator_loss(params, gan, network, rows[0], rows[1], penalize),
        network.params,
        (examples, fake),
        axis_name=gan.axis_name,
        accumulate=gan.accumulate,
    )
    network = update(network, gradients, recorded.get("batch_stats", network.batch_stats), gan.discriminator_optimizer)
    return network.replace(params=gan.constrain(network.params)), metrics


def update_generator(
    gan: "GAN", discriminator: NetworkState, examples: Examples, network: NetworkState, averaged: PyTree | None
) -> tuple[NetworkState, PyTree | None, Float[Array, ""]]:
    """One step of the generator's optimizer, on latents of its own, and of its average: (network, average, loss)."""
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
    """What a GAN consists of; the defaults are those of the chapter's first one.

    The generator is a Linen module from ``(latents [batch, latent_size], *, train=False)`` to images in [-1, 1], the
    discriminator one from ``(images, *, train=False)`` to logits [batch]. Either may be an NNX module in
    ``flax.nnx.bridge.ToLinen``. They have no variables but parameters and ``batch_stats``, and ask for no ``rngs``. On
    several devices their normalization averages over ``axis_name``.

    With dropout, the discriminator's property ``bits_per_example`` is the number of random words that it accepts as
    ``bits=``. Its method ``logits_of_pair``, from a real and a generated batch to the logits of both, replaces two
    calls.

    With ``classes`` both networks also take ``labels=None`` or [batch] below it, as their second argument. Fake image i
    uses the label of real image i, so paired losses compare images of one class.
    """

    generator: Module
    discriminator: Module
    image_shape: tuple[int, int, int]  # height, width and channels
    latent_size: int  # numbers in a latent vector
    generator_optimizer: optax.GradientTransformation
    discriminator_optimizer: optax.GradientTransformation
    prior: noise.Prior = noise.PRIORS["uniform"]  # the distribution of the latents
    truncation: float = 1.0  # factor on the latents of samples; see :func:`jaxgan.nn.noise.truncate`
    classes: int = 0  # that labels can name; 0 if unconditional
    loss: AdversarialLoss = field(default_factory=non_saturating)
    penalties: Sequence[Penalty] = ()  # terms added to the discriminator's loss
    # Steps between penalties, which then weigh so many times more; metrics show their mean over all steps
    # (Karras et al. 2020, section 3.1, without its correction of Adam's decays).
    penalty_every: int = 1
    constrain: Callable[[PyTree], PyTree] = lambda params: params  # the discriminator's, after each update
    critic_steps: int = 1  # discriminator updates per generator update, each on a batch and latents of its own
    ema_decay: float = 0.0  # of the averaged generator that draws samples, with the generator's own statistics; 0: none
    axis_name: str | None = None  # the mapped axis that the batch is split over; None on one device
    accumulate: int = 1  # parts of a device's batch, one after the other; batch statistics are those of a part

    @property
    def bits_per_example(self) -> dict[str, int]:
        """Random words that each example takes in a step, by what they are for."""
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
    """Builds a GAN of two networks and the other fields of :class:`GAN`.

    Raises:
      UserError: if the latents are too few for the prior.
    """
    spec = GAN(generator, discriminator, **options)
    if spec.latent_size <= spec.prior.fixed:
        raise UserError(
            f"--latent-size: {spec.latent_size} is not allowed with --prior {spec.prior.name}, "
            f"it must be at least {spec.prior.fixed + 1}"
        )
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
    """Draws the parameters of both networks."""

    def start(key: Key[Array, ""], network: Network, optimizer: optax.GradientTransformation) -> NetworkState:
        variables = network.module.init(key, jnp.zeros((1, *network.input_shape)))
        if others := variables.keys() - {"params", "batch_stats"}:
            raise UserError(f"a network of a GAN has variables {min(others)!r}, allowed are 'params' and 'batch_stats'")
        params = variables["params"]
        return NetworkState(params, variables.get("batch_stats", {}), optimizer.init(params))

    optimizers = gan.generator_optimizer, gan.discriminator_optimizer
    generator, discriminator = map(start, jax.random.split(key), gan.networks.values(), optimizers)
    averaged = jax.tree.map(jnp.copy, generator.params) if gan.ema_decay else None
    return GANState(jnp.zeros((), jnp.int32), generator, discriminator, averaged)


def trained_generator(gan: GAN, state: GANState) -> Generator:
    """The generator in evaluation mode, with the averaged parameters where an average is kept."""
    variables = state.generator.replace(params=state.eval_params).variables
    images = partial(gan.generator.apply, variables, train=False)
    return Generator("generator", gan.latent_size, gan.prior, gan.truncation, gan.classes, images)


COLUMNS = 10  # images of a class in its figure


def visualize(gan: GAN, state: GANState, batch: Batch, key: Key[Array, ""]) -> dict[str, Visualization]:
    """A row of samples for each class, each column from the same latents."""
    sample = samples_of(partial(trained_generator, gan))
    row = jax.jit(lambda label: sample(state, key, COLUMNS, jnp.full(COLUMNS, label)))
    return {"classes": rows_by_class(row, gan.classes)}


def distributions(gan: GAN, state: GANState, batch: Batch, key: Key[Array, ""]) -> dict[str, Logits]:
    """Logits of held-out images, and of generated ones of the same classes, in evaluation mode."""
    labels = (batch.labels,) if gan.classes else ()
    latents = gan.prior.draw(noise.random_bits(key, batch.index, count=gan.latent_size))
    images = {"real": batch.images, "fake": trained_generator(gan, state).images(latents, *labels)}
    logits = partial(gan.discriminator.apply, state.discriminator.variables, train=False)
    return {f"logits/{name}": logits(of, *labels) for name, of in images.items()}
