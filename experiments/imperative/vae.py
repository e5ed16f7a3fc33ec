"""The variational autoencoder in PyTorch, 784-400-20-400-784; its functional twin is `experiments/vae.py`.

Run:       python experiments/imperative/vae.py        (--help lists every flag)
Read:      this file for the networks and the loss, training.py for the loop
Time:      25 s on two CPU cores
Expect:    a loss near 105 nats per image on the training digits; unlike its functional twin, no averaged parameters
Writes:    runs/imperative/vae/ with metrics.jsonl, checkpoint.pt and samples.npz
"""

import math
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from imperative.requirements import torch
from imperative.training import Options, main

nn, Tensor = torch.nn, torch.Tensor


class Encoder(nn.Module):
    """Maps images to the mean and the log-variance of their latents."""

    def __init__(self, latent_size: int, hidden_units: int, image_shape: Sequence[int]):
        super().__init__()
        self.hidden_0 = nn.Linear(math.prod(image_shape), hidden_units)
        self.output = nn.Linear(hidden_units, 2 * latent_size)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Computes the mean and the log-variance of each image's latents."""
        return self.output(torch.relu(self.hidden_0(pixels.flatten(1)))).chunk(2, dim=1)


class Decoder(nn.Module):
    """Maps latents to the logits of pixels."""

    def __init__(self, latent_size: int, hidden_units: int, image_shape: Sequence[int]):
        super().__init__()
        self.hidden_0 = nn.Linear(latent_size, hidden_units)
        self.output = nn.Linear(hidden_units, math.prod(image_shape))
        self.image_shape = tuple(image_shape)

    def forward(self, z: Tensor) -> Tensor:
        """Maps each latent vector to the logits of an image."""
        return self.output(torch.relu(self.hidden_0(z))).unflatten(1, self.image_shape)


class VAE(nn.Module):
    """An encoder and a decoder that minimize one loss.

    Attributes:
      encoder: maps images in [0, 1] to mean and log-variance of their latents.
      decoder: maps latents to logits of pixels.
    """

    def __init__(
        self,
        *,
        latent_size: int = 20,
        hidden_units: int = 400,
        beta: float = 1.0,
        image_shape: Sequence[int] = (1, 28, 28),
        device: str = "cpu",
        tuned: bool = False,
        compiled: bool | str = False,
    ):
        super().__init__()
        self.encoder = Encoder(latent_size, hidden_units, image_shape).to(device)
        self.decoder = Decoder(latent_size, hidden_units, image_shape).to(device)
        self.latent_size, self.beta, self.device = latent_size, beta, device
        self.optimizer = torch.optim.Adam(self.parameters(), 1e-3, fused=tuned)
        if compiled:
            mode = compiled if isinstance(compiled, str) else None
            self.negative_elbo = torch.compile(self.negative_elbo, mode=mode)

    def draw_latents(self, count: int) -> Tensor:
        """Draws from N(0, I): latents from the prior, or noise for the posterior."""
        return torch.randn(count, self.latent_size, device=self.device)

    def negative_elbo(self, pixels: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Computes the reconstruction error and the KL divergence, in nats per image."""
        mean, log_variance = self.encoder(pixels)
        logits = self.decoder(mean + (0.5 * log_variance).exp() * noise)
        reconstruction = nn.functional.binary_cross_entropy_with_logits(logits, pixels, reduction="sum")
        divergence = 0.5 * (mean.square() + log_variance.exp() - log_variance - 1).sum()
        return reconstruction / len(pixels), divergence / len(pixels)

    def train_step(self, images: Tensor, step: int) -> dict[str, Tensor]:
        """Updates both networks.

        Args:
          images: a batch in [-1, 1], [batch, channels, height, width].
          step: number of previous steps, unused here.

        Returns:
          The metrics of the step.
        """
        self.optimizer.zero_grad()
        pixels = (images + 1) / 2
        reconstruction, divergence = self.negative_elbo(pixels, self.draw_latents(len(images)))
        loss = reconstruction + self.beta * divergence
        loss.backward()
        self.optimizer.step()
        with torch.no_grad():
            return {
                "loss": loss.detach(),
                "negative_elbo": reconstruction + divergence,
                "reconstruction": reconstruction.detach(),
                "kl_divergence": divergence.detach(),
            }

    @torch.no_grad()
    def sample(self, count: int) -> Tensor:
        """Draws images in [-1, 1], as the means of their pixels."""
        return 2 * torch.sigmoid(self.decoder(self.draw_latents(count))) - 1


if __name__ == "__main__":
    main(VAE, Options(workdir=Path("runs/imperative/vae"), epochs=10, batch_size=128))
