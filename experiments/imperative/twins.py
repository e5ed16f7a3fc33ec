"""The twins by the method that they are the twin of."""

from typing import Any

from imperative.dcgan import dcgan
from imperative.requirements import torch
from imperative.vae import VAE
from imperative.vanilla_gan import vanilla_gan
from imperative.wgan import WGAN

# By the kind of a config: what builds the twin, and the fields of the config that are arguments of it.
TWINS = {
    "vanilla_gan": (vanilla_gan, ("latent_size", "hidden_units")),
    "dcgan": (dcgan, ("latent_size", "width")),
    "wgan": (WGAN, ("latent_size", "width", "critic_steps", "penalty_weight")),
    "vae": (VAE, ("latent_size", "hidden_units", "beta")),
}


def twin_of(kind: str, config: Any, **how: Any) -> torch.nn.Module:
    """Builds the twin of a method, with the sizes of its config; what the twin has no argument for is the default.

    Args:
      kind: the method's name.
      config: the method's config.
      **how: further arguments, such as ``device``, ``tuned`` and ``compiled``.

    Returns:
      The twin.
    """
    build, fields = TWINS[kind]
    return build(**{name: getattr(config, name) for name in fields}, **how)
