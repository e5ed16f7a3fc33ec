"""The deep convolutional GAN, with any of the losses and penalties, conditional or not."""

from dataclasses import dataclass
from typing import Literal

import optax

from jaxgan.fields import non_negative, number, probability, schedule_steps
from jaxgan.methods import penalties
from jaxgan.methods.gan import gan
from jaxgan.methods.losses import LOSSES
from jaxgan.methods.method import Method, conditioned
from jaxgan.methods.optimization import adam, cosine_decay
from jaxgan.nn.convnets import ConvDecoder, ConvEncoder, Discriminator, Generator
from jaxgan.nn.initializers import INITIALIZATIONS
from jaxgan.nn.layers import COMPUTE_DTYPES
from jaxgan.nn.noise import PRIORS

Normalization = Literal["batch", "instance", "layer", "none"]


@dataclass(frozen=True)
class DCGAN:
    """The deep convolutional GAN: strided and transposed convolutions, batch normalization (Radford et al. 2016)."""

    latent_size: int = number(100)  # size of the latent vector z
    prior: Literal["uniform", "normal", "mixture"] = "normal"  # prior of z: U[-1, 1], N(0, 1), or ten clusters
    truncation: float = number(1.0, low=0, high=1)  # factor on the latents of samples; 1: no truncation
    conditional: bool = False  # condition both networks on the class of each image
    width: int = number(32)  # channels at half the image size; they double with every halving
    bias: bool = False  # biases in the convolutions
    negative_slope: float = number(0.2, low=0, high=1)  # slope of LeakyReLU below zero
    generator_norm: Normalization = "batch"  # normalization between the generator's layers
    discriminator_norm: Normalization = "batch"  # normalization between the discriminator's layers
    spectral_norm: bool = False  # divide the discriminator's kernels by their spectral norms
    loss: Literal["non_saturating", "minimax", "least_squares", "hinge", "relativistic"] = "non_saturating"  # GAN loss
    r1_weight: float = non_negative(0.0)  # weight gamma of R1, the gradient penalty at real images
    r2_weight: float = non_negative(0.0)  # weight gamma of R2, the gradient penalty at generated images
    dragan_weight: float = non_negative(0.0)  # weight lambda of DRAGAN, the gradient penalty around real images
    penalty_every: int = number(1)  # apply the penalties in every N-th step, with N times their weight
    classification_weight: float = non_negative(0.0)  # weight of the cross-entropy of real images' classes, in D's loss
    initialization: Literal["torch", "lecun", "dcgan"] = "torch"  # U(+-1/sqrt(fan_in)), LeCun normal, or N(0, 0.02)
    compute_dtype: Literal["float32", "bfloat16"] = "float32"  # dtype of matrix products; all else stays float32
    generator_learning_rate: float = non_negative(3e-4)  # Adam learning rate of the generator
    discriminator_learning_rate: float = non_negative(2e-4)  # Adam learning rate of the discriminator
    decay_steps: int = schedule_steps(0)  # steps of a cosine decay of both learning rates to 0; 0: constant
    beta1: float = probability(0.9)  # decay rate of Adam's first moment; 0.5 in the DCGAN paper
    beta2: float = probability(0.999)  # decay rate of Adam's second moment
    ema_decay: float = probability(0.0)  # decay of the generator's moving average; 0: none

    @property
    def title(self) -> str:
        """The name in figures; the R3GAN objective is that of Huang et al. 2024, whose networks are others."""
        return "R3GAN objective" if self.loss == "relativistic" and self.r1_weight and self.r2_weight else "DCGAN"


def build(
    config: DCGAN,
    *,
    image_shape: tuple[int, int, int],
    classes: int = 10,
    axis_name: str | None = None,
    accumulate: int = 1,
    optimizer: optax.GradientTransformation | None = None,
) -> Method:
    """Builds the GAN; see :func:`jaxgan.methods.build`.

    Raises:
      UserError: if it is conditional and the images have no classes.
    """
    classes = conditioned(config.conditional, classes)
    pyramid = {
        "width": config.width,
        "bias": config.bias,
        "negative_slope": config.negative_slope,
        "initialization": INITIALIZATIONS[config.initialization](),
        "axis_name": axis_name,
        "dtype": COMPUTE_DTYPES[config.compute_dtype],
    }
    decoder = ConvDecoder(image_shape, norm=config.generator_norm, **pyramid)
    encoder = ConvEncoder(1 + classes, norm=config.discriminator_norm, spectral_norm=config.spectral_norm, **pyramid)
    weights = (
        (config.r1_weight, penalties.r1),
        (config.r2_weight, penalties.r2),
        (config.dragan_weight, penalties.dragan),
    )
    rates = config.generator_learning_rate, config.discriminator_learning_rate
    generator_optimizer, discriminator_optimizer = (
        optimizer or adam(cosine_decay(rate, config.decay_steps), config.beta1, config.beta2) for rate in rates
    )
    return gan(
        Generator(decoder, classes),
        Discriminator(encoder),
        image_shape=image_shape,
        latent_size=config.latent_size,
        prior=PRIORS[config.prior],
        truncation=config.truncation,
        classes=classes,
        generator_optimizer=generator_optimizer,
        discriminator_optimizer=discriminator_optimizer,
        loss=LOSSES[config.loss](),
        penalties=tuple(penalty(weight) for weight, penalty in weights if weight),
        penalty_every=config.penalty_every,
        classification_weight=config.classification_weight,
        ema_decay=config.ema_decay,
        axis_name=axis_name,
        accumulate=accumulate,
    )
