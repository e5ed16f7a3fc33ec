"""The variational autoencoder in PyTorch, fully connected."""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from benchmarking.torch_twins.training import Twin, adam
from jaxgan.config import VAE

METRICS = ("loss", "negative_elbo", "reconstruction", "kl_divergence")


def vae(config: VAE, data: Tensor, *, batch_size: int, tuned: bool = False, compiled: bool = False) -> Twin:
    """Makes the twin of the VAE.

    Args:
      config: the method, with fully connected networks and soft targets.
      data: the training images as bytes, [n, channels, height, width], on the device to train on.
      batch_size: images in a step.
      tuned: whether to go beyond the usual script: fused Adam.
      compiled: whether the loss, with its gradient, passes through ``torch.compile``.

    Returns:
      The twin.
    """
    hidden, pixels, flat = (config.hidden_units,) * config.hidden_layers, data[0].numel(), data.flatten(1)
    encoder = _mlp((pixels, *hidden, 2 * config.latent_size)).to(data.device)
    decoder = _mlp((config.latent_size, *reversed(hidden), pixels)).to(data.device)
    both = nn.ModuleList([encoder, decoder])
    optimizer = adam(both, config.learning_rate, (config.beta1, config.beta2), tuned=tuned)

    def negative_elbo(chosen: Tensor) -> tuple[Tensor, Tensor]:
        targets = flat[chosen].float().div(255)
        mean, log_variance = encoder(targets).chunk(2, dim=1)
        latents = mean + (0.5 * log_variance).exp() * torch.randn_like(mean)
        reconstruction = binary_cross_entropy_with_logits(decoder(latents), targets, reduction="sum") / batch_size
        divergence = 0.5 * (mean.square() + log_variance.exp() - log_variance - 1).sum() / batch_size
        loss = reconstruction + config.beta * divergence
        with torch.no_grad():
            metrics = torch.stack([loss, reconstruction + divergence, reconstruction, divergence])
        return loss, metrics

    if compiled:
        negative_elbo = torch.compile(negative_elbo)

    def step(chosen: Tensor, number: int) -> Tensor:
        optimizer.zero_grad()
        loss, metrics = negative_elbo(chosen)
        loss.backward()
        optimizer.step()
        return metrics

    return Twin({"encoder": encoder, "decoder": decoder}, METRICS, step)


def _mlp(sizes: tuple[int, ...]) -> nn.Sequential:
    layers = [layer for inputs, outputs in pairwise(sizes) for layer in (nn.Linear(inputs, outputs), nn.ReLU())]
    return nn.Sequential(*layers[:-1])
