"""From a config to what it describes: networks and the method that trains them."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import jax.numpy as jnp
import optax
from flax import linen as nn

from jaxgan import config as configs
from jaxgan.errors import UserError
from jaxgan.methods import losses, penalties
from jaxgan.methods.adam import adam
from jaxgan.methods.autoencoder import autoencoder
from jaxgan.methods.classifier import classifier
from jaxgan.methods.gan import gan
from jaxgan.methods.method import Method
from jaxgan.methods.vae import vae
from jaxgan.nn import autoencoders, convolutional, fully_connected, initializers, noise
from jaxgan.nn.classifier import Classifier

LATENT_LAWS = {"uniform": noise.uniform, "normal": noise.normal, "mixture": noise.mixture}
INITIALIZATIONS = {"torch": initializers.torch_default, "lecun": initializers.lecun, "dcgan": initializers.dcgan}
COMPUTE_TYPES = {"float32": None, "bfloat16": jnp.bfloat16}  # None: the parameters' own
LOSSES = {
    "non_saturating": losses.non_saturating,
    "minimax": losses.minimax,
    "least_squares": losses.least_squares,
    "hinge": losses.hinge,
    "relativistic": losses.relativistic,
}

Shape = tuple[int, int, int]


def networks(
    config: configs.Method, *, image_shape: Shape, classes: int = 10, axis_name: str | None = None
) -> dict[str, tuple[nn.Module, tuple[int, ...]]]:
    """Makes the networks of a method, for building it and for showing them.

    Args:
      config: the method's config.
      image_shape: height, width and channels of an image.
      classes: classes of images that there are; only what is told of them, or tells them apart, depends on it.
      axis_name: the mapped axis over which devices share a batch; None on one device.

    Returns:
      For each network its module and the shape of one input example, by the network's name.
    """
    weights = {"initialization": INITIALIZATIONS[config.initialization](), "dtype": COMPUTE_TYPES[config.compute_dtype]}
    match config:
        case configs.Autoencoder() | configs.VAE():
            features = config.latent_size * (2 if isinstance(config, configs.VAE) else 1)
            encoder, decoder = _encoder_and_decoder(config, image_shape, features, weights)
            return {"encoder": (encoder, image_shape), "decoder": (decoder, (config.latent_size,))}
        case configs.Classifier():
            return {"network": (Classifier(classes, config.width, axis_name=axis_name, **weights), image_shape)}
        case configs.VanillaGAN():
            widths = (config.hidden_units,) * config.hidden_layers
            slope = config.negative_slope
            generator = fully_connected.Generator(image_shape, widths, config.hidden_bias, slope, **weights)
            discriminator = fully_connected.Discriminator(widths, slope, config.dropout_rate, **weights)
        case configs.DCGAN() | configs.WGAN():
            ladder = {
                "width": config.width,
                "negative_slope": config.negative_slope,
                "axis_name": axis_name,
                **weights,
            }
            bias, norms, spectral_norm = _convolutional_options(config)
            up = convolutional.Up(image_shape, bias=bias, norm=norms[0], **ladder)
            told = _classes_told(config, classes)
            down = convolutional.Down(1 + told, bias=bias, norm=norms[1], spectral_norm=spectral_norm, **ladder)
            generator, discriminator = convolutional.Generator(up, told), convolutional.Discriminator(down)
    return {"generator": (generator, (config.latent_size,)), "discriminator": (discriminator, image_shape)}


def _classes_told(config: configs.Method, classes: int) -> int:
    """How many classes a GAN's networks are told of; 0 if they are not told."""
    return classes if isinstance(config, configs.DCGAN) and config.conditional else 0


def _encoder_and_decoder(
    config: configs.Autoencoder | configs.VAE, image_shape: Shape, features: int, weights: Mapping[str, Any]
) -> tuple[nn.Module, nn.Module]:
    if config.encoder == "conv":
        ladder = {"width": config.width, "bias": True, "norm": "none", **weights}
        return convolutional.Down(features, **ladder), convolutional.Up(image_shape, **ladder)
    widths = () if config.encoder == "linear" else (config.hidden_units,) * config.hidden_layers
    return (
        autoencoders.Encoder(features, widths, **weights),
        autoencoders.Decoder(image_shape, widths, **weights),
    )


def _convolutional_options(config: configs.DCGAN | configs.WGAN) -> tuple[bool, tuple[str, str], bool]:
    """Biases, normalization of generator and discriminator, and spectral normalization."""
    if isinstance(config, configs.WGAN):
        return False, ("batch", config.critic_norm), False
    return config.bias, (config.generator_norm, config.discriminator_norm), config.spectral_norm


def build(
    config: configs.Method,
    *,
    image_shape: Shape,
    classes: int = 10,
    axis_name: str | None = None,
    accumulate: int = 1,
) -> Method:
    """Builds a method from its config.

    Args:
      config: the method's config.
      image_shape: height, width and channels of an image.
      classes: classes of images that there are; only what is told of them, or tells them apart, depends on it.
      axis_name: the mapped axis over which devices share a batch; None on one device.
      accumulate: parts that a device's batch is split into, one after the other, to take less memory.

    Returns:
      The method's functions.
    """
    made = networks(config, image_shape=image_shape, classes=classes, axis_name=axis_name)
    modules = {name: module for name, (module, _) in made.items()}
    shared = {"image_shape": image_shape, "axis_name": axis_name, "accumulate": accumulate}
    adversarial = partial(gan, **modules, **shared, classes=_classes_told(config, classes))
    match config:
        case configs.Autoencoder():
            return autoencoder(
                **modules,
                **_one_adam(config),
                **shared,
                bernoulli=config.loss == "bernoulli",
            )
        case configs.VAE():
            return vae(
                **modules,
                **_one_adam(config),
                **shared,
                beta=config.beta,
                binarized=config.targets == "binarized",
                ema_decay=config.ema_decay,
            )
        case configs.Classifier():
            rate = config.learning_rate
            if config.decay_steps:
                rate = optax.cosine_onecycle_schedule(config.decay_steps, rate, pct_start=0.2)
            return classifier(
                **modules,
                **shared,
                optimizer=adam(rate, config.beta1, config.beta2),
                augment=config.augment,
            )
        case configs.VanillaGAN():
            return adversarial(**_latents(config), **_adam_each(config))
        case configs.DCGAN():
            weights = (config.r1_weight, penalties.r1), (config.r2_weight, penalties.r2)
            weights += ((config.dragan_weight, penalties.dragan),)
            return adversarial(
                **_latents(config),
                **_adam_each(config),
                loss=LOSSES[config.loss](),
                penalties=[penalty(weight) for weight, penalty in weights if weight],
                penalty_every=config.penalty_every,
            )
        case configs.WGAN():
            return adversarial(
                **_latents(config),
                **_wasserstein(config),
                loss=losses.wasserstein(),
                critic_steps=config.critic_steps,
            )


def _one_adam(config: configs.Autoencoder | configs.VAE) -> dict:
    optimizer = adam(config.learning_rate, config.beta1, config.beta2)
    return {"latent_size": config.latent_size, "optimizer": optimizer}


def _latents(config: configs.VanillaGAN | configs.DCGAN | configs.WGAN) -> dict:
    if config.latent_law == "mixture" and config.latent_size <= noise.CLUSTERS:
        raise UserError(
            f"--latent-size: {config.latent_size} is not allowed with --latent-law mixture, "
            f"it must be at least {noise.CLUSTERS + 1}"
        )
    law = LATENT_LAWS[config.latent_law]
    return {
        "latent_size": config.latent_size,
        "latent_law": law,
        "sample_law": noise.truncated(law, config.truncation) if isinstance(config, configs.DCGAN) else law,
        "ema_decay": config.ema_decay,
    }


def _adam_each(config: configs.VanillaGAN | configs.DCGAN) -> dict:
    decay_steps = config.decay_steps if isinstance(config, configs.DCGAN) else 0
    return {
        f"{network}_optimizer": adam(
            optax.cosine_decay_schedule(rate, decay_steps) if decay_steps else rate, config.beta1, config.beta2
        )
        for network, rate in (
            ("generator", config.generator_learning_rate),
            ("discriminator", config.discriminator_learning_rate),
        )
    }


def _wasserstein(config: configs.WGAN) -> dict:
    """What bounds the critic's slope, with the optimizer that goes with it, for both networks."""
    if config.constraint == "clip":
        rate = 5e-5 if config.learning_rate is None else config.learning_rate
        optimizer = optax.rmsprop(rate, decay=0.99, eps=1e-8, eps_in_sqrt=False)  # PyTorch's, as in the authors' code
        constraint = {"constrain": partial(optax.tree.clip, min_value=-config.clip, max_value=config.clip)}
    else:
        rate = 2e-4 if config.learning_rate is None else config.learning_rate
        optimizer = adam(rate, config.beta1, config.beta2)
        constraint = {"penalties": [penalties.gradient_penalty(config.penalty_weight)]}
    return {"generator_optimizer": optimizer, "discriminator_optimizer": optimizer, **constraint}
