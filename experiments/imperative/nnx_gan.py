"""The losses and the step of the vanilla GAN and the DCGAN, in Flax NNX: binary cross-entropy and Adam."""

import abc
from typing import TypeVar

import jax
import optax
from flax import nnx
from jax import Array

Network = TypeVar("Network", bound=nnx.Module)

METRICS = ("discriminator_loss", "discriminator_loss_real", "discriminator_loss_fake")
METRICS += ("real_probability", "fake_probability", "generator_loss")

# PyTorch's weight distribution, U[-1/sqrt(fan_in), 1/sqrt(fan_in)], has the variance 1 / (3 fan_in).
torch_default = nnx.initializers.variance_scaling(1 / 3, "fan_in", "uniform")


def frozen(network: Network) -> Network:
    """Returns a view of a network whose training passes do not update its running statistics.

    A view shares the variables of the network but has its own modes. A copy (``nnx.clone``) would not update them
    either, but neither the counter of dropout's random stream, so the next pass would drop the same units again.

    Args:
      network: the network.

    Returns:
      The view.
    """
    return nnx.view(network, frozen=True, raise_if_not_found=False)


def discriminator_loss(discriminator: nnx.Module, images: Array, generated: Array) -> tuple[Array, dict[str, Array]]:
    """Binary cross-entropy of a real and a generated batch, in nats, and the metrics of both."""
    real, fake = discriminator(images), discriminator(generated)
    real_loss = optax.sigmoid_binary_cross_entropy(real, 1.0).mean()
    fake_loss = optax.sigmoid_binary_cross_entropy(fake, 0.0).mean()
    return real_loss + fake_loss, {
        "discriminator_loss_real": real_loss,
        "discriminator_loss_fake": fake_loss,
        "real_probability": jax.nn.sigmoid(real).mean(),
        "fake_probability": jax.nn.sigmoid(fake).mean(),
    }


def generator_loss(generator: nnx.Module, discriminator: nnx.Module, latents: Array) -> Array:
    """Non-saturating loss: the generator minimizes E[-log D(G(z))], in nats.

    The discriminator is an argument because the pass changes its state, the counter of dropout's random stream. NNX
    refuses to change a variable that a differentiated function closes over.
    """
    return optax.sigmoid_binary_cross_entropy(discriminator(generator(latents)), 1.0).mean()


class GAN(nnx.Module):
    """A generator and a discriminator that train against each other.

    It is a module, so its state holds everything that resuming needs: parameters, running statistics, the moments of
    both optimizers, and the counters of the random streams.

    Attributes:
      generator: maps latents to images in [-1, 1].
      discriminator: maps images to logits.
      rngs: random stream of the latents.
    """

    def __init__(
        self,
        generator: nnx.Module,
        discriminator: nnx.Module,
        *,
        generator_learning_rate: float,
        discriminator_learning_rate: float,
        betas: tuple[float, float],
        rngs: nnx.Rngs,
    ):
        self.generator, self.discriminator, self.rngs = generator, discriminator, rngs
        self.generator_optimizer, self.discriminator_optimizer = (
            nnx.Optimizer(network, optax.adam(rate, *betas), wrt=nnx.Param)
            for network, rate in ((generator, generator_learning_rate), (discriminator, discriminator_learning_rate))
        )

    @abc.abstractmethod
    def draw_latents(self, count: int) -> Array:
        """Draws latents from the prior of the method."""

    @nnx.jit
    def train_step(self, images: Array) -> dict[str, Array]:
        """Updates the discriminator, then the generator against the updated discriminator, both in place.

        Only passes of a network's own update change its running statistics.

        Args:
          images: a real batch in [-1, 1], [batch, height, width, channels].

        Returns:
          The metrics of the step.
        """
        generated = frozen(self.generator)(self.draw_latents(len(images)))
        objective = nnx.value_and_grad(discriminator_loss, has_aux=True)
        (loss, metrics), gradients = objective(self.discriminator, images, generated)
        self.discriminator_optimizer.update(self.discriminator, gradients)
        metrics["discriminator_loss"] = loss

        objective = nnx.value_and_grad(generator_loss)
        loss, gradients = objective(self.generator, frozen(self.discriminator), self.draw_latents(len(images)))
        self.generator_optimizer.update(self.generator, gradients)
        metrics["generator_loss"] = loss
        return metrics

    def sample(self, count: int) -> Array:
        """Draws images in evaluation mode."""
        self.generator.eval()
        images = generate(self.generator, self.draw_latents(count))
        self.generator.train()
        return images


@nnx.jit
def generate(generator: nnx.Module, latents: Array) -> Array:
    """Maps each latent vector to an image, in the generator's current mode."""
    return generator(latents)
