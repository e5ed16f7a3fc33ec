"""The chapter's first GAN: two fully connected networks, binary cross-entropy and Adam."""

from dataclasses import dataclass
from typing import Literal

import optax

from jaxgan.fields import non_negative, number, probability
from jaxgan.methods.gan import gan
from jaxgan.methods.method import Method
from jaxgan.methods.optimization import adam
from jaxgan.nn.initializers import INITIALIZATIONS
from jaxgan.nn.layers import COMPUTE_DTYPES
from jaxgan.nn.mlp import Discriminator, Generator
from jaxgan.nn.noise import PRIORS


@dataclass(frozen=True)
class VanillaGAN:
    """The chapter's first GAN: two fully connected networks, binary cross-entropy, Adam (Goodfellow et al. 2014)."""

    title = "Vanilla GAN"

    latent_size: int = number(20)  # size of the latent vector z
    prior: Literal["uniform", "normal", "mixture"] = "uniform"  # prior of z: U[-1, 1], N(0, 1), or ten clusters
    hidden_layers: int = number(1)  # hidden layers of each network
    hidden_units: int = number(100)  # units in each hidden layer
    hidden_bias: bool = True  # biases in the generator's hidden layers (the discriminator's have none)
    negative_slope: float = number(0.01, low=0, high=1)  # slope of LeakyReLU below zero
    dropout_rate: float = probability(0.5)  # probability of dropping a discriminator unit
    initialization: Literal["torch", "lecun", "dcgan"] = "torch"  # U(+-1/sqrt(fan_in)), LeCun normal, or N(0, 0.02)
    compute_dtype: Literal["float32", "bfloat16"] = "float32"  # dtype of matrix products; all else stays float32
    generator_learning_rate: float = non_negative(1e-3)  # Adam learning rate of the generator
    discriminator_learning_rate: float = non_negative(1e-3)  # Adam learning rate of the discriminator
    beta1: float = probability(0.9)  # decay rate of Adam's first moment
    beta2: float = probability(0.999)  # decay rate of Adam's second moment
    ema_decay: float = probability(0.0)  # decay of the generator's moving average; 0: none


def build(
    config: VanillaGAN,
    *,
    image_shape: tuple[int, int, int],
    classes: int = 10,
    axis_name: str | None = None,
    accumulate: int = 1,
    optimizer: optax.GradientTransformation | None = None,
) -> Method:
    """Builds the GAN; see :func:`jaxgan.methods.build`."""
    weights = {
        "initialization": INITIALIZATIONS[config.initialization](),
        "dtype": COMPUTE_DTYPES[config.compute_dtype],
    }
    units, slope = (config.hidden_units,) * config.hidden_layers, config.negative_slope
    betas = config.beta1, config.beta2
    return gan(
        Generator(image_shape, units, config.hidden_bias, slope, **weights),
        Discriminator(units, slope, config.dropout_rate, **weights),
        image_shape=image_shape,
        latent_size=config.latent_size,
        prior=PRIORS[config.prior],
        generator_optimizer=optimizer or adam(config.generator_learning_rate, *betas),
        discriminator_optimizer=optimizer or adam(config.discriminator_learning_rate, *betas),
        ema_decay=config.ema_decay,
        axis_name=axis_name,
        accumulate=accumulate,
    )
