"""The convolutional networks in PyTorch, for 28 x 28 images as every tutorial has them, and the DCGAN."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from benchmarking.torch_twins.adversarial import non_saturating
from benchmarking.torch_twins.training import Twin
from jaxgan.config import DCGAN

HALVINGS = ((4, 2, 1), (4, 2, 1), (3, 2, 1))  # kernel, stride and padding of 28 -> 14 -> 7 -> 4
LAST = 4  # the kernel that covers what is left


def generator(latent_size: int, width: int, *, channels: int, slope: float) -> nn.Sequential:
    """The ladder up with batch normalization, and tanh: from [batch, latent_size, 1, 1] to images."""
    sizes = [width * 2**i for i in reversed(range(len(HALVINGS)))]
    layers: list[nn.Module] = [nn.ConvTranspose2d(latent_size, sizes[0], LAST, bias=False)]
    for inputs, outputs, geometry in zip(sizes, (*sizes[1:], channels), reversed(HALVINGS), strict=True):
        layers += [nn.BatchNorm2d(inputs), nn.LeakyReLU(slope)]
        layers.append(nn.ConvTranspose2d(inputs, outputs, *geometry, bias=False))
    return nn.Sequential(*layers, nn.Tanh())


def discriminator(width: int, *, channels: int, slope: float, norm: Callable[[int], nn.Module]) -> nn.Sequential:
    """The ladder down, normalized after each convolution but the first and the last: from images to logits [batch]."""
    sizes = [width * 2**i for i in range(len(HALVINGS))]
    layers: list[nn.Module] = []
    for inputs, outputs, geometry in zip((channels, *sizes), sizes, HALVINGS, strict=False):
        layers.append(nn.Conv2d(inputs, outputs, *geometry, bias=False))
        layers += [norm(outputs)] if inputs != channels else []
        layers.append(nn.LeakyReLU(slope))
    return nn.Sequential(*layers, nn.Conv2d(sizes[-1], 1, LAST, bias=False), nn.Flatten(0))


def placed(network: nn.Module, data: Tensor, *, tuned: bool) -> nn.Module:
    """Moves a network to where the images are; the tuned one has channels last, which oneDNN and cuDNN like."""
    return network.to(data.device, memory_format=torch.channels_last if tuned else torch.contiguous_format)


def dcgan(config: DCGAN, data: Tensor, *, batch_size: int, tuned: bool = False, compiled: bool = False) -> Twin:
    """Makes the twin of the DCGAN.

    Args:
      config: the method, of which width, slope, latent size and learning rates count; latents are normal.
      data: the training images as bytes, [n, channels, 28, 28], on the device to train on.
      batch_size: images in a step.
      tuned: whether to go beyond the usual script.
      compiled: whether to use ``torch.compile``.

    Returns:
      The twin.
    """
    channels = data.shape[1]
    up = generator(config.latent_size, config.width, channels=channels, slope=config.negative_slope)
    down = discriminator(config.width, channels=channels, slope=config.negative_slope, norm=nn.BatchNorm2d)
    return non_saturating(
        config,
        placed(up, data, tuned=tuned),
        placed(down, data, tuned=tuned),
        data=data,
        batch_size=batch_size,
        latents=lambda: torch.randn(batch_size, config.latent_size, 1, 1, device=data.device),
        tuned=tuned,
        compiled=compiled,
    )
