"""The vanilla GAN in PyTorch, as an object that trains itself; its functional twin is `experiments/vanilla_gan.py`.

Run:       python experiments/imperative/vanilla_gan.py        (--help lists every flag)
Read:      this file for the networks, gan.py for the losses and the step, training.py for the loop
Time:      5 min on two CPU cores
Expect:    losses and digits like those of its functional twin, with different random numbers
Writes:    runs/imperative/vanilla_gan/ with metrics.jsonl, checkpoint.pt and samples.npz
"""

import math
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from imperative.gan import GAN
from imperative.requirements import torch
from imperative.training import Options, main

nn, Tensor = torch.nn, torch.Tensor

SLOPE, DROPOUT = 0.01, 0.5


class Generator(nn.Module):
    """Maps latents to images: a hidden layer with LeakyReLU, and an output layer with tanh."""

    def __init__(self, latent_size: int, hidden_units: int, image_shape: Sequence[int]):
        super().__init__()
        self.hidden_0 = nn.Linear(latent_size, hidden_units)
        self.output = nn.Linear(hidden_units, math.prod(image_shape))
        self.image_shape = tuple(image_shape)

    def forward(self, z: Tensor) -> Tensor:
        """Maps each latent vector to an image."""
        h = nn.functional.leaky_relu(self.hidden_0(z), SLOPE)
        return torch.tanh(self.output(h)).unflatten(1, self.image_shape)


class Discriminator(nn.Module):
    """Maps images to logits: one hidden layer without bias, LeakyReLU, dropout, and an affine layer."""

    def __init__(self, hidden_units: int, image_shape: Sequence[int]):
        super().__init__()
        self.hidden_0 = nn.Linear(math.prod(image_shape), hidden_units, bias=False)
        self.dropout = nn.Dropout(DROPOUT)
        self.output = nn.Linear(hidden_units, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Computes a logit for each image."""
        h = nn.functional.leaky_relu(self.hidden_0(images.flatten(1)), SLOPE)
        return self.output(self.dropout(h)).flatten()


def vanilla_gan(
    *,
    latent_size: int = 20,
    hidden_units: int = 100,
    image_shape: Sequence[int] = (1, 28, 28),
    device: str = "cpu",
    tuned: bool = False,
    compiled: bool | str = False,
) -> GAN:
    """Builds the vanilla GAN of the chapter, with its optimizers.

    Args:
      latent_size: numbers in a latent vector, each from U[-1, 1].
      hidden_units: units of the hidden layer of each network.
      image_shape: channels, height and width.
      device: device of the tensors.
      tuned: see :class:`GAN`.
      compiled: whether to compile the losses with ``torch.compile``; a string selects its mode.

    Returns:
      The model.
    """
    return GAN(
        Generator(latent_size, hidden_units, image_shape).to(device),
        Discriminator(hidden_units, image_shape).to(device),
        lambda count: torch.empty(count, latent_size, device=device).uniform_(-1, 1),
        learning_rates=(1e-3, 1e-3),
        tuned=tuned,
        compiled=compiled,
    )


if __name__ == "__main__":
    main(vanilla_gan, Options(workdir=Path("runs/imperative/vanilla_gan"), epochs=100))
