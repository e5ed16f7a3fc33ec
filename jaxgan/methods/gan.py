"""Generative adversarial networks: a generator and a discriminator that learn from each other, as one pure step."""

from collections.abc import Callable
from itertools import accumulate

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from jaxtyping import Array, Float, Key, PyTree, UInt32

from jaxgan.methods import losses
from jaxgan.methods.gradients import value_and_mean_grad
from jaxgan.methods.method import Batch, Method, Metrics
from jaxgan.methods.state import GANState, NetworkState
from jaxgan.nn import noise


def gan(
    generator: nn.Module,
    discriminator: nn.Module,
    *,
    image_shape: tuple[int, int, int],
    latent_size: int,
    latent_law: Callable[[UInt32[Array, "*shape"]], Float[Array, "*shape"]],
    generator_optimizer: optax.GradientTransformation,
    discriminator_optimizer: optax.GradientTransformation,
    ema_decay: float = 0.0,
    axis_name: str | None = None,
) -> Method:
    """Builds the GAN of the chapter: binary cross-entropy for the discriminator, non-saturating for the generator.

    A step first updates the discriminator, on the real batch and on as many images of the generator, which gets no
    gradient from it; then the generator, with fresh latents, against the updated discriminator.

    Args:
      generator: from latents [batch, latent_size] to images in [-1, 1].
      discriminator: from images and the words of its noise (None in evaluation mode) to logits [batch]; its method
        ``judge_pair`` does so for a real and a generated batch at once, and its property ``noise_offsets`` ends with
        the number of words it takes an example.
      image_shape: height, width and channels of an image.
      latent_size: numbers in a latent vector.
      latent_law: from random words to latents, such as :func:`jaxgan.nn.noise.uniform`.
      generator_optimizer: optimizer of the generator.
      discriminator_optimizer: optimizer of the discriminator.
      ema_decay: decay of the averaged generator that samples are drawn from; 0 for none.
      axis_name: the mapped axis that the batch is split over; None on one device.

    Returns:
      The method. Its metrics are the losses in nats, and the mean probabilities D(x) and D(G(z)).

    References:
      Goodfellow et al., Generative Adversarial Networks, 2014, algorithm 1 with k = 1.
    """
    # What each example's row of words goes to: latents of both passes, dropout for real, fake and the generator's pass.
    word_counts = (latent_size,) * 2 + (discriminator.noise_offsets[-1],) * 3

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

    def generate(params: PyTree, bits: UInt32[Array, "batch latent"]) -> Float[Array, "batch height width channels"]:
        return generator.apply({"params": params}, latent_law(bits))

    def step(state: GANState, batch: Batch, key: Key[Array, ""]) -> tuple[GANState, Metrics]:
        bits = noise.words(key, batch.index, count=sum(word_counts))
        latent_d, latent_g, *dropout = jnp.split(bits, list(accumulate(word_counts))[:-1], axis=1)

        fake = generate(state.generator.params, latent_d)

        def discriminator_loss(params):
            real_logits, fake_logits = discriminator.apply(
                {"params": params}, batch.images, fake, *dropout[:2], method="judge_pair"
            )
            on_real, on_fake = losses.real_loss(real_logits), losses.fake_loss(fake_logits)
            return on_real + on_fake, {
                "discriminator_loss": on_real + on_fake,
                "discriminator_loss_real": on_real,
                "discriminator_loss_fake": on_fake,
                "real_probability": jnp.mean(jax.nn.sigmoid(real_logits)),
                "fake_probability": jnp.mean(jax.nn.sigmoid(fake_logits)),
            }

        (_, metrics), gradients = value_and_mean_grad(
            discriminator_loss, state.discriminator.params, axis_name=axis_name
        )
        new_discriminator = _update(state.discriminator, gradients, discriminator_optimizer)

        def generator_loss(params):
            logits = discriminator.apply({"params": new_discriminator.params}, generate(params, latent_g), dropout[2])
            return losses.non_saturating_loss(logits), {}

        (loss, _), gradients = value_and_mean_grad(generator_loss, state.generator.params, axis_name=axis_name)
        new_generator = _update(state.generator, gradients, generator_optimizer)

        averaged = state.averaged
        if averaged is not None:
            averaged = optax.incremental_update(new_generator.params, averaged, 1 - ema_decay)
        return GANState(state.step + 1, new_generator, new_discriminator, averaged), {"generator_loss": loss, **metrics}

    def sample(state: GANState, key: Key[Array, ""], count: int) -> Float[Array, "count height width channels"]:
        params = state.generator.params if state.averaged is None else state.averaged
        return generate(params, noise.words(key, jnp.arange(count), count=latent_size))

    return Method(init, step, sample)


def _update(network: NetworkState, gradients: PyTree, optimizer: optax.GradientTransformation) -> NetworkState:
    updates, opt_state = optimizer.update(gradients, network.opt_state, network.params)
    return network.replace(params=optax.apply_updates(network.params, updates), opt_state=opt_state)
