"""Adversarial losses as functions of logits, and reconstruction losses as functions of images.

A discriminator ends in a logit l with D = sigmoid(l), so -log D(x) = softplus(-l) and -log(1 - D(x)) = softplus(l).
In this form no loss overflows, however large the logit. A Wasserstein critic's output is the logit itself.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.nn import relu, softplus
from jaxtyping import Array, Float, UInt32

from jaxgan.nn import noise

Logits = Float[Array, " batch"]
Scalar = Float[Array, ""]
Images = Float[Array, "batch height width channels"]


class AdversarialLoss(NamedTuple):
    """The losses of both networks, and metrics of their balance."""

    # From the logits of a real and a generated batch to the terms of the discriminator's loss, by name.
    discriminator: Callable[[Logits, Logits], dict[str, Scalar]]
    generator: Callable[[Logits | None, Logits], Scalar]  # from the same logits to the generator's loss
    metrics: Callable[[Logits, Logits], dict[str, Scalar]]  # from the same logits to metrics
    paired: bool = False  # whether the generator's loss depends on the real logits; otherwise these may be None


def real_loss(logits: Logits) -> Scalar:
    """Binary cross-entropy of logits against label 1, in nats, averaged over the batch: E[-log D(x)]."""
    return jnp.mean(softplus(-logits))


def fake_loss(logits: Logits) -> Scalar:
    """Binary cross-entropy of logits against label 0, in nats, averaged over the batch: E[-log(1 - D(x))]."""
    return jnp.mean(softplus(logits))


def probabilities(real: Logits, fake: Logits) -> dict[str, Scalar]:
    """The mean probabilities D(x) and D(G(z)) of being real."""
    return {
        "real_probability": jnp.mean(jax.nn.sigmoid(real)),
        "fake_probability": jnp.mean(jax.nn.sigmoid(fake)),
    }


def mean_logits(real: Logits, fake: Logits) -> dict[str, Scalar]:
    """The mean logits of both batches, for losses under which a sigmoid has no meaning."""
    return {"real_logit": jnp.mean(real), "fake_logit": jnp.mean(fake)}


def cross_entropies(real: Logits, fake: Logits) -> dict[str, Scalar]:
    """The two terms of the discriminator's binary cross-entropy, in nats."""
    return {"real": real_loss(real), "fake": fake_loss(fake)}


def non_saturating() -> AdversarialLoss:
    """Non-saturating loss: the generator minimizes E[-log D(G(z))], in nats.

    Unlike log(1 - D(G(z))), it keeps a gradient when the discriminator is confident, as at the start of training.

    References:
      Goodfellow et al., Generative Adversarial Networks, 2014, section 3.
    """
    return AdversarialLoss(cross_entropies, lambda real, fake: real_loss(fake), probabilities)


def minimax() -> AdversarialLoss:
    """Minimax loss: the generator minimizes what the discriminator maximizes, E[log(1 - D(G(z)))], in nats.

    References:
      Goodfellow et al., Generative Adversarial Networks, 2014, equation 1.
    """
    return AdversarialLoss(cross_entropies, lambda real, fake: -fake_loss(fake), probabilities)


def least_squares() -> AdversarialLoss:
    """Half the squared distance of logits to their labels, 1 for real and 0 for generated.

    References:
      Mao et al., Least Squares Generative Adversarial Networks, 2017, equation 9.
    """

    def half_squares(logits: Logits, label: float) -> Scalar:
        return jnp.mean(jnp.square(logits - label)) / 2

    def discriminator(real: Logits, fake: Logits) -> dict[str, Scalar]:
        return {"real": half_squares(real, 1.0), "fake": half_squares(fake, 0.0)}

    return AdversarialLoss(discriminator, lambda real, fake: half_squares(fake, 1.0), mean_logits)


def hinge() -> AdversarialLoss:
    """Hinge loss: E[max(0, 1 - l)] on real and E[max(0, 1 + l)] on generated images.

    References:
      Miyato et al., Spectral Normalization for Generative Adversarial Networks, 2018, equations 16 and 17.
    """

    def discriminator(real: Logits, fake: Logits) -> dict[str, Scalar]:
        return {"real": jnp.mean(relu(1 - real)), "fake": jnp.mean(relu(1 + fake))}

    return AdversarialLoss(discriminator, lambda real, fake: -jnp.mean(fake), mean_logits)


def relativistic() -> AdversarialLoss:
    """Relativistic pairing loss: E[softplus(-(l_real - l_fake))]; the generator swaps l_real and l_fake.

    References:
      Jolicoeur-Martineau, The relativistic discriminator, 2019; Huang et al., The GAN is dead, 2024, equation 2.
    """

    def discriminator(real: Logits, fake: Logits) -> dict[str, Scalar]:
        return {"pair": real_loss(real - fake)}

    def metrics(real: Logits, fake: Logits) -> dict[str, Scalar]:
        return {"pair_probability": jnp.mean(jax.nn.sigmoid(real - fake))}

    return AdversarialLoss(discriminator, lambda real, fake: real_loss(fake - real), metrics, paired=True)


def wasserstein() -> AdversarialLoss:
    """Wasserstein loss: the critic maximizes E[f(x)] - E[f(G(z))], a lower bound of W1 if f is 1-Lipschitz.

    References:
      Arjovsky et al., Wasserstein GAN, 2017, equation 2 and algorithm 1.
    """

    def critic(real: Logits, fake: Logits) -> dict[str, Scalar]:
        return {"real": -jnp.mean(real), "fake": jnp.mean(fake)}

    def metrics(real: Logits, fake: Logits) -> dict[str, Scalar]:
        return {"wasserstein_estimate": jnp.mean(real) - jnp.mean(fake)}

    return AdversarialLoss(critic, lambda real, fake: -jnp.mean(fake), metrics)


LOSSES: Mapping[str, Callable[[], AdversarialLoss]] = {
    "non_saturating": non_saturating,
    "minimax": minimax,
    "least_squares": least_squares,
    "hinge": hinge,
    "relativistic": relativistic,
}


def to_pixels(images: Images) -> Images:
    """Maps images from [-1, 1] to [0, 1], where a pixel is the probability of being 1."""
    return (images + 1) / 2


def to_images(pixels: Images) -> Images:
    """Maps pixels from [0, 1] to [-1, 1] and clips them."""
    return jnp.clip(2 * pixels - 1, -1, 1)


def binarize(images: Images, bits: UInt32[Array, "batch pixels"]) -> Images:
    """Draws each pixel from a Bernoulli distribution, with its own value as the probability of 1.

    Args:
      images: values in [-1, 1].
      bits: random words, one per pixel.

    Returns:
      Pixels that are 0 or 1.
    """
    return (noise.uniform(bits).reshape(images.shape) < images).astype(images.dtype)


def squared_error(restored: Images, pixels: Images) -> Float[Array, " batch"]:
    """Squared error of each image, averaged over its pixels."""
    return jnp.mean(jnp.square(flat_rows(restored) - flat_rows(pixels)), axis=1)


def cross_entropy(logits: Images, pixels: Images) -> Float[Array, " batch"]:
    """Bernoulli cross-entropy of each image, in nats, summed over its pixels.

    Args:
      logits: logits of the probability that a pixel is 1.
      pixels: values in [0, 1]; values in between are soft targets, without a normalizer.

    Returns:
      The sums of -x log p - (1 - x) log(1 - p) = softplus(l) - x l, which does not overflow for any logit.
    """
    logits, pixels = flat_rows(logits), flat_rows(pixels)
    return jnp.sum(jax.nn.softplus(logits) - pixels * logits, axis=1)


def flat_rows(images: Images) -> Float[Array, "batch numbers"]:
    """Flattens each image: with a last axis of one channel, XLA's CPU backend sums several times more slowly."""
    return images.reshape(len(images), -1)
