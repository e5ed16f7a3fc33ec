"""The game of the vanilla GAN and of the DCGAN: binary cross-entropy, and an Adam for each network."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from benchmarking.torch_twins.training import Twin, adam, batch_of
from jaxgan.config import DCGAN, VanillaGAN

METRICS = ("discriminator_loss", "discriminator_loss_real", "discriminator_loss_fake")
METRICS += ("real_probability", "fake_probability", "generator_loss")


def non_saturating(
    config: VanillaGAN | DCGAN,
    generator: nn.Module,
    discriminator: nn.Module,
    *,
    data: Tensor,
    batch_size: int,
    latents: Callable[[], Tensor],
    tuned: bool,
    compiled: bool,
) -> Twin:
    """Makes the twin of :func:`jaxgan.methods.gan.gan` with its own defaults.

    Args:
      config: the learning rates.
      generator: from latents to images.
      discriminator: from images to logits [batch].
      data: all images, as the discriminator takes them, as bytes.
      batch_size: images in a step.
      latents: draws the latents of a batch.
      tuned: whether to go beyond the usual script: fused Adam, and no gradient where none is used.
      compiled: whether the losses, with their gradients, pass through ``torch.compile``.

    Returns:
      The twin.
    """
    betas = (config.beta1, config.beta2)
    generator_optimizer = adam(generator, config.generator_learning_rate, betas, tuned=tuned)
    discriminator_optimizer = adam(discriminator, config.discriminator_learning_rate, betas, tuned=tuned)
    criterion = nn.BCEWithLogitsLoss()
    ones, zeros = torch.ones(batch_size, device=data.device), torch.zeros(batch_size, device=data.device)

    def discriminator_loss(chosen: Tensor) -> tuple[Tensor, Tensor]:
        images = batch_of(data, chosen)
        with torch.set_grad_enabled(not tuned):
            generated = generator(latents()).detach()
        real, fake = discriminator(images), discriminator(generated)
        real_loss, fake_loss = criterion(real, ones), criterion(fake, zeros)
        loss = real_loss + fake_loss
        with torch.no_grad():
            metrics = torch.stack([loss, real_loss, fake_loss, real.sigmoid().mean(), fake.sigmoid().mean()])
        return loss, metrics

    def generator_loss() -> Tensor:
        return criterion(discriminator(generator(latents())), ones)

    if compiled:
        discriminator_loss, generator_loss = torch.compile(discriminator_loss), torch.compile(generator_loss)

    def step(chosen: Tensor, number: int) -> Tensor:
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

    return Twin({"generator": generator, "discriminator": discriminator}, METRICS, step)
