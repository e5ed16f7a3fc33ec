"""The twins by the config of the method that they are the twin of."""

from typing import Any

from imperative.dcgan import dcgan
from imperative.parity import SIZES
from imperative.requirements import torch
from imperative.vae import VAE
from imperative.vanilla_gan import vanilla_gan
from imperative.wgan import WGAN
from jaxgan import config as configs

TWINS = {configs.VanillaGAN: vanilla_gan, configs.DCGAN: dcgan, configs.WGAN: WGAN, configs.VAE: VAE}


def twin_of(config: configs.Method, **how: Any) -> torch.nn.Module:
    """Builds the twin of a method, with the sizes of its config; in all else it is as the method is by default.

    Args:
      config: the method.
      **how: further arguments, such as ``device``, ``tuned`` and ``compiled``.

    Returns:
      The twin, with weights of its own.
    """
    sizes = {name: getattr(config, name) for name in SIZES[type(config)]}
    return TWINS[type(config)](**sizes, **how)
