"""The DCGAN in PyTorch, as an object that trains itself; its functional twin is `experiments/dcgan.py`.

Run:       python experiments/imperative/dcgan.py        (--help lists every flag)
Read:      this file for the networks, gan.py for the losses and the step, training.py for the loop
Time:      11 min on two CPU cores
Expect:    losses and digits like those of its functional twin, with different random numbers
Writes:    runs/imperative/dcgan/ with metrics.jsonl, checkpoint.pt and samples.npz
"""

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from imperative.gan import GAN
from imperative.requirements import torch
from imperative.training import Options, main

nn, Tensor = torch.nn, torch.Tensor

leaky_relu = partial(nn.functional.leaky_relu, negative_slope=0.2)


class Generator(nn.Module):
    """Maps latents to images of 28 x 28: transposed convolutions, batch normalization, LeakyReLU, and tanh."""

    def __init__(self, latent_size: int, width: int, channels: int):
        super().__init__()
        self.conv_3 = nn.ConvTranspose2d(latent_size, 4 * width, kernel_size=4, bias=False)
        self.norm_3 = nn.BatchNorm2d(4 * width)
        self.conv_2 = nn.ConvTranspose2d(4 * width, 2 * width, kernel_size=3, stride=2, padding=1, bias=False)
        self.norm_2 = nn.BatchNorm2d(2 * width)
        self.conv_1 = nn.ConvTranspose2d(2 * width, width, kernel_size=4, stride=2, padding=1, bias=False)
        self.norm_1 = nn.BatchNorm2d(width)
        self.output = nn.ConvTranspose2d(width, channels, kernel_size=4, stride=2, padding=1, bias=False)

    def forward(self, z: Tensor) -> Tensor:
        """Maps each latent vector to an image."""
        h = leaky_relu(self.norm_3(self.conv_3(z[:, :, None, None])))
        h = leaky_relu(self.norm_2(self.conv_2(h)))
        h = leaky_relu(self.norm_1(self.conv_1(h)))
        return torch.tanh(self.output(h))


class Discriminator(nn.Module):
    """Maps images of 28 x 28 to logits, or to a critic's values: strided convolutions, normalization, LeakyReLU."""

    def __init__(self, width: int, channels: int, *, norm: Callable[[int], nn.Module] = nn.BatchNorm2d):
        super().__init__()
        self.conv_0 = nn.Conv2d(channels, width, kernel_size=4, stride=2, padding=1, bias=False)
        self.conv_1 = nn.Conv2d(width, 2 * width, kernel_size=4, stride=2, padding=1, bias=False)
        self.norm_1 = norm(2 * width)
        self.conv_2 = nn.Conv2d(2 * width, 4 * width, kernel_size=3, stride=2, padding=1, bias=False)
        self.norm_2 = norm(4 * width)
        self.output = nn.Conv2d(4 * width, 1, kernel_size=4, bias=False)

    def forward(self, images: Tensor) -> Tensor:
        """Computes a logit for each image."""
        h = leaky_relu(self.conv_0(images))
        h = leaky_relu(self.norm_1(self.conv_1(h)))
        h = leaky_relu(self.norm_2(self.conv_2(h)))
        return self.output(h).flatten()


def dcgan(
    *,
    latent_size: int = 100,
    width: int = 32,
    channels: int = 1,
    device: str = "cpu",
    tuned: bool = False,
    compiled: bool | str = False,
) -> GAN:
    """Builds the DCGAN of the chapter, with its optimizers.

    Args:
      latent_size: numbers in a latent vector, each from N(0, 1).
      width: number of channels at half the image size.
      channels: channels of an image.
      device: device of the tensors.
      tuned: see :class:`GAN`.
      compiled: whether to compile the losses with ``torch.compile``; a string selects its mode.

    Returns:
      The model.
    """
    return GAN(
        Generator(latent_size, width, channels).to(device),
        Discriminator(width, channels).to(device),
        lambda count: torch.randn(count, latent_size, device=device),
        learning_rates=(3e-4, 2e-4),
        tuned=tuned,
        compiled=compiled,
    )


if __name__ == "__main__":
    main(dcgan, Options(workdir=Path("runs/imperative/dcgan"), epochs=15))
