"""The Wasserstein GAN: a critic instead of a discriminator, bounded by a gradient penalty or by clipping."""

from dataclasses import dataclass
from functools import partial
from typing import Literal

import optax

from jaxgan.fields import non_negative, number, probability
from jaxgan.methods import losses
from jaxgan.methods.gan import gan
from jaxgan.methods.method import Method
from jaxgan.methods.optimization import adam
from jaxgan.methods.penalties import gradient_penalty
from jaxgan.nn.convnets import ConvDecoder, ConvEncoder, Discriminator, Generator
from jaxgan.nn.initializers import INITIALIZATIONS
from jaxgan.nn.layers import COMPUTE_DTYPES
from jaxgan.nn.noise import PRIORS


@dataclass(frozen=True)
class WGAN:
    """The Wasserstein GAN: a critic estimates the distance between two distributions (Arjovsky et al. 2017)."""

    title = "Wasserstein GAN"

    constraint: Literal["gradient-penalty", "clip"] = "gradient-penalty"  # what bounds the critic's gradient
    penalty_weight: float = non_negative(10.0)  # lambda of the gradient penalty
    clip: float = number(0.01, low=1e-6, high=float("inf"))  # bound on the critic's weights with clip
    critic_steps: int = number(5)  # critic updates per generator update, each on a new batch and new noise
    latent_size: int = number(100)  # size of the latent vector z
    prior: Literal["uniform", "normal", "mixture"] = "normal"  # prior of z: U[-1, 1], N(0, 1), or ten clusters
    width: int = number(32)  # channels at half the image size; they double with every halving
    negative_slope: float = number(0.2, low=0, high=1)  # slope of LeakyReLU below zero
    critic_norm: Literal["instance", "layer", "none"] = "instance"  # batch statistics would couple the images
    initialization: Literal["torch", "lecun", "dcgan"] = "torch"  # U(+-1/sqrt(fan_in)), LeCun normal, or N(0, 0.02)
    compute_dtype: Literal["float32", "bfloat16"] = "float32"  # dtype of matrix products; all else stays float32
    learning_rate: float | None = non_negative(None)  # None: 2e-4 for Adam, 5e-5 for RMSprop with clip
    beta1: float = probability(0.5)  # decay rate of Adam's first moment
    beta2: float = probability(0.9)  # decay rate of Adam's second moment
    ema_decay: float = probability(0.0)  # decay of the generator's moving average; 0: none


def build(
    config: WGAN,
    *,
    image_shape: tuple[int, int, int],
    classes: int = 10,
    axis_name: str | None = None,
    accumulate: int = 1,
    optimizer: optax.GradientTransformation | None = None,
) -> Method:
    """Builds the GAN; see :func:`jaxgan.methods.build`."""
    pyramid = {
        "width": config.width,
        "negative_slope": config.negative_slope,
        "initialization": INITIALIZATIONS[config.initialization](),
        "axis_name": axis_name,
        "dtype": COMPUTE_DTYPES[config.compute_dtype],
    }
    if config.constraint == "clip":
        rate = 5e-5 if config.learning_rate is None else config.learning_rate
        default = optax.rmsprop(rate, decay=0.99, eps=1e-8, eps_in_sqrt=False)  # as in PyTorch and the authors' code
        constraint = {"constrain": partial(optax.tree.clip, min_value=-config.clip, max_value=config.clip)}
    else:
        rate = 2e-4 if config.learning_rate is None else config.learning_rate
        default = adam(rate, config.beta1, config.beta2)
        constraint = {"penalties": (gradient_penalty(config.penalty_weight),)}
    return gan(
        Generator(ConvDecoder(image_shape, norm="batch", **pyramid)),
        Discriminator(ConvEncoder(1, norm=config.critic_norm, **pyramid)),
        image_shape=image_shape,
        latent_size=config.latent_size,
        prior=PRIORS[config.prior],
        generator_optimizer=optimizer or default,
        discriminator_optimizer=optimizer or default,
        loss=losses.wasserstein(),
        critic_steps=config.critic_steps,
        ema_decay=config.ema_decay,
        axis_name=axis_name,
        accumulate=accumulate,
        **constraint,
    )
