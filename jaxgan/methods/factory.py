"""From a config to what it describes: networks and the method that trains them."""

import optax
from flax import linen as nn

from jaxgan import config as configs
from jaxgan.methods.gan import gan
from jaxgan.methods.method import Method
from jaxgan.nn import initializers, noise
from jaxgan.nn.fully_connected import Discriminator, Generator

LATENT_LAWS = {"uniform": noise.uniform, "normal": noise.normal}
INITIALIZATIONS = {"torch": initializers.torch_default, "lecun": initializers.lecun}


def networks(config: configs.Method, *, image_shape: tuple[int, int, int]) -> dict[str, tuple[nn.Module, tuple]]:
    """Makes the networks of a method, for building it and for showing them.

    Args:
      config: the method's config.
      image_shape: height, width and channels of an image.

    Returns:
      For each network its module and the shape of one input example, by the network's name.
    """
    widths = (config.hidden_units,) * config.hidden_layers
    initialization = INITIALIZATIONS[config.initialization]()
    generator = Generator(image_shape, widths, config.hidden_bias, config.negative_slope, initialization)
    discriminator = Discriminator(widths, config.negative_slope, config.dropout_rate, initialization)
    return {"generator": (generator, (config.latent_size,)), "discriminator": (discriminator, image_shape)}


def build(config: configs.Method, *, image_shape: tuple[int, int, int], axis_name: str | None = None) -> Method:
    """Builds a method from its config.

    Args:
      config: the method's config.
      image_shape: height, width and channels of an image.
      axis_name: the mapped axis over which devices share a batch; None on one device.

    Returns:
      The method's three functions.
    """
    modules = {name: module for name, (module, _) in networks(config, image_shape=image_shape).items()}
    return gan(
        **modules,
        image_shape=image_shape,
        latent_size=config.latent_size,
        latent_law=LATENT_LAWS[config.latent_law],
        generator_optimizer=optax.adam(config.generator_learning_rate, config.beta1, config.beta2),
        discriminator_optimizer=optax.adam(config.discriminator_learning_rate, config.beta1, config.beta2),
        ema_decay=config.ema_decay,
        axis_name=axis_name,
    )
