"""The vanilla GAN in PyTorch."""

from itertools import pairwise

import torch
from torch import Tensor, nn

from benchmarking.torch_twins.adversarial import non_saturating
from benchmarking.torch_twins.training import Twin
from jaxgan.config import VanillaGAN


def vanilla_gan(
    config: VanillaGAN, data: Tensor, *, batch_size: int, tuned: bool = False, compiled: bool = False
) -> Twin:
    """Makes the twin of the vanilla GAN.

    Args:
      config: the method; its law of latents is uniform.
      data: the training images as bytes, [n, channels, height, width], on the device to train on.
      batch_size: images in a step.
      tuned: whether to go beyond the usual script.
      compiled: whether to use ``torch.compile``.

    Returns:
      The twin.
    """
    hidden, pixels = (config.hidden_units,) * config.hidden_layers, data[0].numel()
    generator = nn.Sequential(
        *_hidden((config.latent_size, *hidden), config, bias=config.hidden_bias),
        nn.Linear(hidden[-1], pixels),
        nn.Tanh(),
    )
    discriminator = nn.Sequential(
        *_hidden((pixels, *hidden), config, bias=False, dropout=True), nn.Linear(hidden[-1], 1), nn.Flatten(0)
    )
    return non_saturating(
        config,
        generator.to(data.device),
        discriminator.to(data.device),
        data=data.flatten(1),
        batch_size=batch_size,
        latents=lambda: torch.empty(batch_size, config.latent_size, device=data.device).uniform_(-1, 1),
        tuned=tuned,
        compiled=compiled,
    )


def _hidden(sizes: tuple[int, ...], config: VanillaGAN, *, bias: bool, dropout: bool = False) -> list[nn.Module]:
    layers = []
    for inputs, outputs in pairwise(sizes):
        layers += [nn.Linear(inputs, outputs, bias=bias), nn.LeakyReLU(config.negative_slope)]
        layers += [nn.Dropout(config.dropout_rate)] * dropout
    return layers
