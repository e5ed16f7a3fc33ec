"""The Wasserstein GAN with gradient penalty in PyTorch."""

from functools import partial

import torch
from torch import Tensor, nn

from benchmarking.torch_twins.convolutional import discriminator, generator, placed
from benchmarking.torch_twins.training import Twin, adam, batch_of
from jaxgan.config import WGAN

METRICS = ("discriminator_loss", "discriminator_loss_real", "discriminator_loss_fake", "gradient_penalty")
METRICS += ("wasserstein_estimate", "generator_loss")
LEARNING_RATE = 2e-4  # where the config has none


def wgan(config: WGAN, data: Tensor, *, batch_size: int, tuned: bool = False, compiled: bool = False) -> Twin:
    """Makes the twin of the Wasserstein GAN with gradient penalty, one update of the critic a step.

    Args:
      config: the method, with gradient penalty and instance normalization; latents are normal.
      data: the training images as bytes, [n, channels, 28, 28], on the device to train on.
      batch_size: images in a step.
      tuned: whether to go beyond the usual script: fused Adam, channels last, no gradient where none is used, and the
        real and the generated batch in one pass.
      compiled: whether to use ``torch.compile``.

    Returns:
      The twin.

    Raises:
      NotImplementedError: if ``compiled``.
    """
    if compiled:
        raise NotImplementedError("torch.compile cannot differentiate twice")
    channels, slope = data.shape[1], config.negative_slope
    up = generator(config.latent_size, config.width, channels=channels, slope=slope)
    norm = partial(nn.InstanceNorm2d, affine=True)
    down = discriminator(config.width, channels=channels, slope=slope, norm=norm)
    artist, critic = (placed(network, data, tuned=tuned) for network in (up, down))
    rate, betas = config.learning_rate or LEARNING_RATE, (config.beta1, config.beta2)
    artist_optimizer, critic_optimizer = (adam(network, rate, betas, tuned=tuned) for network in (artist, critic))

    def generate() -> Tensor:
        return artist(torch.randn(batch_size, config.latent_size, 1, 1, device=data.device))

    def gradient_penalty(real: Tensor, fake: Tensor) -> Tensor:
        share = torch.rand(batch_size, 1, 1, 1, device=data.device)
        points = torch.lerp(real, fake, share).requires_grad_()
        (slopes,) = torch.autograd.grad(critic(points).sum(), points, create_graph=True)
        return config.penalty_weight * (slopes.flatten(1).norm(dim=1) - 1).square().mean()

    def ratings(real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        if tuned:
            return critic(torch.cat([real, fake])).chunk(2)
        return critic(real), critic(fake)

    def step(chosen: Tensor, number: int) -> Tensor:
        real = batch_of(data, chosen)
        with torch.set_grad_enabled(not tuned):
            fake = generate().detach()
        critic_optimizer.zero_grad()
        real_mean, fake_mean = (rating.mean() for rating in ratings(real, fake))
        penalty = gradient_penalty(real, fake)
        loss = fake_mean - real_mean + penalty
        loss.backward()
        critic_optimizer.step()

        if (number + 1) % config.critic_steps == 0:
            if tuned:
                critic.requires_grad_(False)
            artist_optimizer.zero_grad()
            (-critic(generate()).mean()).backward()
            artist_optimizer.step()
            if tuned:
                critic.requires_grad_(True)
        with torch.no_grad():
            return torch.stack([loss, -real_mean, fake_mean, penalty, real_mean - fake_mean, -fake_mean])

    return Twin({"generator": artist, "discriminator": critic}, METRICS, step)
