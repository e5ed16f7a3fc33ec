"""The losses and the step of the vanilla GAN and the DCGAN, in PyTorch: binary cross-entropy and Adam."""

import contextlib
from collections.abc import Callable, Iterator

from imperative.requirements import torch

nn, Tensor = torch.nn, torch.Tensor


@contextlib.contextmanager
def frozen(network: nn.Module, *, gradients: bool = True) -> Iterator[None]:
    """Freezes a network's running statistics while batches pass through it in training mode.

    Args:
      network: the network.
      gradients: whether its parameters collect gradients meanwhile; the next update of the network discards them.

    Yields:
      Nothing; the passes happen inside.
    """
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.track_running_stats = False
    network.requires_grad_(gradients)
    yield
    for norm in norms:
        norm.track_running_stats = True
    network.requires_grad_(True)


class GAN(nn.Module):
    """A generator and a discriminator that train against each other.

    Attributes:
      generator: maps latents to images in [-1, 1].
      discriminator: maps images to logits.
      draw_latents: draws a given number of latents.
      tuned: whether to use fused Adam and to skip unused gradients.
    """

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        draw_latents: Callable[[int], Tensor],
        *,
        learning_rates: tuple[float, float],
        betas: tuple[float, float] = (0.9, 0.999),
        tuned: bool = False,
        compiled: bool | str = False,
    ):
        super().__init__()
        self.generator, self.discriminator = generator, discriminator
        self.draw_latents, self.tuned = draw_latents, tuned
        self.generator_optimizer, self.discriminator_optimizer = (
            torch.optim.Adam(network.parameters(), rate, betas, fused=tuned)
            for network, rate in zip((generator, discriminator), learning_rates, strict=True)
        )
        self.criterion = nn.BCEWithLogitsLoss()
        if compiled:
            mode = compiled if isinstance(compiled, str) else None
            self.discriminator_loss = torch.compile(self.discriminator_loss, mode=mode)
            self.generator_loss = torch.compile(self.generator_loss, mode=mode)

    def discriminator_loss(self, images: Tensor, latents: Tensor) -> dict[str, Tensor]:
        """Binary cross-entropy of a real and a generated batch, in nats, without a gradient for the generator."""
        with torch.set_grad_enabled(not self.tuned):
            generated = self.generator(latents).detach()
        real, fake = self.discriminator(images), self.discriminator(generated)
        real_loss = self.criterion(real, torch.ones_like(real))
        fake_loss = self.criterion(fake, torch.zeros_like(fake))
        return {
            "discriminator_loss": real_loss + fake_loss,
            "discriminator_loss_real": real_loss.detach(),
            "discriminator_loss_fake": fake_loss.detach(),
            "real_probability": real.detach().sigmoid().mean(),
            "fake_probability": fake.detach().sigmoid().mean(),
        }

    def generator_loss(self, latents: Tensor) -> Tensor:
        """Non-saturating loss: the generator minimizes E[-log D(G(z))], in nats."""
        fake = self.discriminator(self.generator(latents))
        return self.criterion(fake, torch.ones_like(fake))

    def train_step(self, images: Tensor, step: int) -> dict[str, Tensor]:
        """Updates the discriminator, then the generator against the updated discriminator.

        Args:
          images: a real batch in [-1, 1], [batch, channels, height, width].
          step: number of previous steps, unused here.

        Returns:
          The metrics of the step.
        """
        self.discriminator_optimizer.zero_grad()
        with frozen(self.generator):
            metrics = self.discriminator_loss(images, self.draw_latents(len(images)))
            metrics["discriminator_loss"].backward()
        self.discriminator_optimizer.step()

        self.generator_optimizer.zero_grad()
        with frozen(self.discriminator, gradients=not self.tuned):
            loss = self.generator_loss(self.draw_latents(len(images)))
            loss.backward()
        self.generator_optimizer.step()
        metrics["generator_loss"] = loss
        return {name: value.detach() for name, value in metrics.items()}

    @torch.no_grad()
    def sample(self, count: int) -> Tensor:
        """Draws images in evaluation mode."""
        self.generator.eval()
        images = self.generator(self.draw_latents(count))
        self.generator.train()
        return images
