"""The games that a generator and a discriminator play, as functions of logits alone.

A discriminator ends in a logit l, its probability is D = sigmoid(l), and -log D(x) = softplus(-l), -log(1 - D(x)) =
softplus(l). Written so, no loss overflows, however sure the discriminator is. A critic's logit is its rating.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.nn import relu, softplus
from jaxtyping import Array, Float

Logits = Float[Array, " batch"]
Scalar = Float[Array, ""]


class AdversarialLoss(NamedTuple):
    """What both networks minimise, and what a game shows of itself.

    Attributes:
      discriminator: from the logits of a real and a generated batch to the terms of its loss, by name.
      generator: from the same to the generator's loss.
      metrics: from the same to what tells how the game stands.
      paired: whether the generator's loss depends on the logits of real images too; if not, None stands for them.
    """

    discriminator: Callable[[Logits, Logits], dict[str, Scalar]]
    generator: Callable[[Logits | None, Logits], Scalar]
    metrics: Callable[[Logits, Logits], dict[str, Scalar]]
    paired: bool = False


def real_loss(logits: Logits) -> Scalar:
    """Binary cross-entropy of logits against label 1, in nats, averaged over the batch: E[-log D(x)]."""
    return jnp.mean(softplus(-logits))


def fake_loss(logits: Logits) -> Scalar:
    """Binary cross-entropy of logits against label 0, in nats, averaged over the batch: E[-log(1 - D(x))]."""
    return jnp.mean(softplus(logits))


def probabilities(real: Logits, fake: Logits) -> dict[str, Scalar]:
    """The mean probabilities D(x) and D(G(z)) that a discriminator gives to be real."""
    return {
        "real_probability": jnp.mean(jax.nn.sigmoid(real)),
        "fake_probability": jnp.mean(jax.nn.sigmoid(fake)),
    }


def mean_logits(real: Logits, fake: Logits) -> dict[str, Scalar]:
    """The mean logits of both batches, where a sigmoid of them would mean nothing."""
    return {"real_logit": jnp.mean(real), "fake_logit": jnp.mean(fake)}


def _cross_entropies(real: Logits, fake: Logits) -> dict[str, Scalar]:
    return {"real": real_loss(real), "fake": fake_loss(fake)}


def non_saturating() -> AdversarialLoss:
    """The generator's loss is that of a discriminator which took its images for real, E[-log D(G(z))], in nats.

    Unlike log(1 - D(G(z))) it has a gradient where the discriminator is sure, at the start of training.

    References:
      Goodfellow et al., Generative Adversarial Networks, 2014, section 3.
    """
    return AdversarialLoss(_cross_entropies, lambda real, fake: real_loss(fake), probabilities)


def minimax() -> AdversarialLoss:
    """The game as it is first written: the generator minimises what the discriminator maximises, E[log(1 - D(G(z)))].

    References:
      Goodfellow et al., Generative Adversarial Networks, 2014, equation 1.
    """
    return AdversarialLoss(_cross_entropies, lambda real, fake: -fake_loss(fake), probabilities)


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
    """Logits beyond 1 on their side of 0 cost the discriminator nothing: E[max(0, 1 - l)], E[max(0, 1 + l)].

    References:
      Miyato et al., Spectral Normalization for Generative Adversarial Networks, 2018, equations 16 and 17.
    """

    def discriminator(real: Logits, fake: Logits) -> dict[str, Scalar]:
        return {"real": jnp.mean(relu(1 - real)), "fake": jnp.mean(relu(1 + fake))}

    return AdversarialLoss(discriminator, lambda real, fake: -jnp.mean(fake), mean_logits)


def relativistic() -> AdversarialLoss:
    """Each generated image is judged against a real one: E[softplus(-(l_real - l_fake))], the sign turned for G.

    References:
      Jolicoeur-Martineau, The relativistic discriminator, 2019; Huang et al., The GAN is dead, 2024, equation 2.
    """

    def discriminator(real: Logits, fake: Logits) -> dict[str, Scalar]:
        return {"pair": real_loss(real - fake)}

    def metrics(real: Logits, fake: Logits) -> dict[str, Scalar]:
        return {"pair_probability": jnp.mean(jax.nn.sigmoid(real - fake))}

    return AdversarialLoss(discriminator, lambda real, fake: real_loss(fake - real), metrics, paired=True)


def wasserstein() -> AdversarialLoss:
    """The critic widens E[f(x)] - E[f(G(z))], for slopes of at most 1 an estimate of the distance W1, from below.

    References:
      Arjovsky et al., Wasserstein GAN, 2017, equation 2 and algorithm 1.
    """

    def critic(real: Logits, fake: Logits) -> dict[str, Scalar]:
        return {"real": -jnp.mean(real), "fake": jnp.mean(fake)}

    def metrics(real: Logits, fake: Logits) -> dict[str, Scalar]:
        return {"wasserstein_estimate": jnp.mean(real) - jnp.mean(fake)}

    return AdversarialLoss(critic, lambda real, fake: -jnp.mean(fake), metrics)
