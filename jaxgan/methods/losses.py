"""Losses on logits, as functions of arrays alone.

A discriminator ends in a logit l, its probability is D = sigmoid(l), and -log D(x) = softplus(-l), -log(1 - D(x)) =
softplus(l). Written so, no loss overflows, however sure the discriminator is.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def real_loss(logits: Float[Array, " batch"]) -> Float[Array, ""]:
    """Binary cross-entropy of logits against label 1, in nats, averaged over the batch: E[-log D(x)]."""
    return jnp.mean(jax.nn.softplus(-logits))


def fake_loss(logits: Float[Array, " batch"]) -> Float[Array, ""]:
    """Binary cross-entropy of logits against label 0, in nats, averaged over the batch: E[-log(1 - D(x))]."""
    return jnp.mean(jax.nn.softplus(logits))


def non_saturating_loss(fake_logits: Float[Array, " batch"]) -> Float[Array, ""]:
    """The generator's loss: that of a discriminator which took its images for real, E[-log D(G(z))], in nats.

    Unlike log(1 - D(G(z))) it has a gradient where the discriminator is sure, at the start of training.

    References:
      Goodfellow et al., Generative Adversarial Networks, 2014, section 3.
    """
    return real_loss(fake_logits)
