"""The imperative twins that the benchmark times: the same steps, as a good PyTorch user would write them.

They record the same metrics as ours. The images stay on the device as bytes and are gathered by a permutation; nothing
is fetched inside of the loop.
"""

from itertools import pairwise

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor, nn

from benchmarking.turns import Run
from jaxgan.config import VanillaGAN

BYTES_TO_UNIT = 127.5
WARM_UP = 20  # steps, enough for every compilation


def vanilla_gan(
    config: VanillaGAN,
    images: UInt8[np.ndarray, "n height width channels"],
    *,
    batch_size: int,
    device: str,
    tuned: bool = False,
    compiled: bool = False,
) -> Run:
    """Makes the twin of :func:`jaxgan.methods.gan`, in PyTorch's own initialisation.

    Args:
      config: the method; its law of latents is uniform.
      images: the training images.
      batch_size: images in a step.
      device: where to train, ``cpu`` or ``cuda``.
      tuned: whether to go beyond the usual script: fused Adam, and no gradient where none is used.
      compiled: whether the losses, with their gradients, pass through ``torch.compile``.

    Returns:
      The function that trains. The first calls compile.
    """
    hidden, pixels = (config.hidden_units,) * config.hidden_layers, images[0].size
    generator = nn.Sequential(
        *_hidden((config.latent_size, *hidden), config, bias=config.hidden_bias),
        nn.Linear(hidden[-1], pixels),
        nn.Tanh(),
    ).to(device)
    discriminator = nn.Sequential(
        *_hidden((pixels, *hidden), config, bias=False, dropout=True), nn.Linear(hidden[-1], 1)
    ).to(device)
    rates = {generator: config.generator_learning_rate, discriminator: config.discriminator_learning_rate}
    generator_optimizer, discriminator_optimizer = (
        torch.optim.Adam(module.parameters(), rate, (config.beta1, config.beta2), fused=tuned or None)
        for module, rate in rates.items()
    )
    data = torch.from_numpy(images.reshape(-1, pixels).copy()).to(device)
    criterion = nn.BCEWithLogitsLoss()
    ones, zeros = torch.ones(batch_size, 1, device=device), torch.zeros(batch_size, 1, device=device)

    def latents() -> Tensor:
        return torch.empty(batch_size, config.latent_size, device=device).uniform_(-1, 1)

    def discriminator_loss(chosen: Tensor) -> tuple[Tensor, Tensor]:
        images = data[chosen].float().div(BYTES_TO_UNIT).sub(1)
        with torch.set_grad_enabled(not tuned):
            generated = generator(latents()).detach()
        real, fake = discriminator(images), discriminator(generated)
        real_loss, fake_loss = criterion(real, ones), criterion(fake, zeros)
        with torch.no_grad():
            metrics = torch.stack([real_loss, fake_loss, real.sigmoid().mean(), fake.sigmoid().mean()])
        return real_loss + fake_loss, metrics

    def generator_loss() -> Tensor:
        return criterion(discriminator(generator(latents())), ones)

    if compiled:
        discriminator_loss, generator_loss = torch.compile(discriminator_loss), torch.compile(generator_loss)

    def step(chosen: Tensor) -> Tensor:
        discriminator_optimizer.zero_grad()
        loss, metrics = discriminator_loss(chosen)
        loss.backward()
        discriminator_optimizer.step()

        if tuned:
            discriminator.requires_grad_(False)
        generator_optimizer.zero_grad()
        loss = generator_loss()
        loss.backward()
        generator_optimizer.step()
        if tuned:
            discriminator.requires_grad_(True)
        return torch.cat([metrics, loss.detach()[None]])

    def run(count: int) -> None:
        order = torch.randperm(len(data), device=device)
        steps_per_epoch = len(data) // batch_size
        sums = torch.zeros(5, device=device)
        for i in range(count):
            start = i % steps_per_epoch * batch_size
            sums += step(order[start : start + batch_size])
        sums.tolist()  # waits for the device

    run(WARM_UP)
    return run


def _hidden(sizes: tuple[int, ...], config: VanillaGAN, *, bias: bool, dropout: bool = False) -> list[nn.Module]:
    layers = []
    for inputs, outputs in pairwise(sizes):
        layers += [nn.Linear(inputs, outputs, bias=bias), nn.LeakyReLU(config.negative_slope)]
        layers += [nn.Dropout(config.dropout_rate)] * dropout
    return layers


def matrix_product(size: int, *, device: str) -> Run:
    """Makes a function that multiplies two square float32 matrices so many times, for the peak of the machine."""
    x, y = torch.randn(2, size, size, device=device)

    def run(count: int) -> None:
        for _ in range(count):
            z = x @ y
        z[0, 0].item()

    run(1)
    return run
