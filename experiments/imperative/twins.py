"""The PyTorch twin of each config."""

from typing import Any

from imperative import vae, wgan
from imperative.dcgan import dcgan
from imperative.requirements import torch
from imperative.setting import SIZES
from imperative.vanilla_gan import vanilla_gan
from jaxgan.methods import MethodConfig
from jaxgan.methods.dcgan import DCGAN
from jaxgan.methods.vae import VAE
from jaxgan.methods.vanilla_gan import VanillaGAN
from jaxgan.methods.wgan import WGAN

TWINS = {VanillaGAN: vanilla_gan, DCGAN: dcgan, WGAN: wgan.WGAN, VAE: vae.VAE}


def twin_of(
    config: MethodConfig, *, image_shape: tuple[int, int, int] = (28, 28, 1), **options: Any
) -> torch.nn.Module:
    """Builds the twin of a method with the sizes of its config; all other fields have their defaults.

    Args:
      config: the method.
      image_shape: height, width and channels of an image; the convolutional twins are for 28 x 28 only.
      **options: further arguments, such as ``device``, ``tuned`` and ``compiled``.

    Returns:
      The twin, with new random weights.
    """
    *size, channels = image_shape
    flat = isinstance(config, VanillaGAN | VAE)
    shape = {"image_shape": (channels, *size)} if flat else {"channels": channels}
    return TWINS[type(config)](**{name: getattr(config, name) for name in SIZES[type(config)]}, **shape, **options)
