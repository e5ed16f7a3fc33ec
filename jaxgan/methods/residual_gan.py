"""The GAN of R3GAN's paper: residual networks without normalization, relativistic pairs and two gradient penalties."""

import math
from dataclasses import dataclass
from typing import Literal

import optax

from jaxgan.errors import UserError
from jaxgan.fields import non_negative, number, probability, schedule_steps
from jaxgan.methods import losses, penalties
from jaxgan.methods.gan import gan
from jaxgan.methods.method import Method, conditioned
from jaxgan.methods.optimization import adam, cosine_decay
from jaxgan.nn.convnets import Discriminator, Generator
from jaxgan.nn.layers import COMPUTE_DTYPES
from jaxgan.nn.noise import PRIORS
from jaxgan.nn.resnet import ResidualDecoder, ResidualEncoder, Tower


@dataclass(frozen=True)
class ResidualGAN:
    """A GAN of residual networks without normalization (Huang et al. 2024)."""

    title = "Residual GAN"

    latent_size: int = number(64)  # numbers in the latent vector z
    prior: Literal["uniform", "normal", "mixture"] = "normal"  # prior of z: U[-1, 1], N(0, 1), or ten clusters
    truncation: float = number(1.0, low=0, high=1)  # factor on the latents of samples; 1: none
    conditional: bool = False  # condition both networks on the class of each image
    width: int = number(16)  # channels at the image's full size; they double with every halving
    max_width: int = number(512)  # at most so many channels
    blocks: int = number(1, high=64)  # residual blocks at each size
    expansion: int = number(2, high=64)  # times as many channels inside of a block
    group_size: int = number(16)  # channels of a group of the 3x3 convolutions; all of them where they are fewer
    r1_weight: float = non_negative(0.2)  # gamma of the penalty on the discriminator's gradient at real images
    r2_weight: float = non_negative(0.2)  # gamma of the same at generated images
    penalty_every: int = number(1)  # steps between penalties, which then weigh so many times more
    compute_dtype: Literal["float32", "bfloat16"] = "float32"  # of matrix products; all else stays float32
    generator_learning_rate: float = non_negative(2e-4)  # Adam step size of the generator
    discriminator_learning_rate: float = non_negative(2e-4)  # Adam step size of the discriminator
    decay_steps: int = schedule_steps(0)  # steps in which both fall to 0 along a cosine; 0: they stay
    beta1: float = probability(0.0)  # Adam decay of the gradient's mean
    beta2: float = probability(0.99)  # Adam decay of the squared gradient's mean
    ema_decay: float = probability(0.999)  # decay of the averaged generator; 0 keeps none


def build(
    config: ResidualGAN,
    *,
    image_shape: tuple[int, int, int],
    classes: int = 10,
    axis_name: str | None = None,
    accumulate: int = 1,
    optimizer: optax.GradientTransformation | None = None,
) -> Method:
    """Builds the GAN; see :func:`jaxgan.methods.build`.

    Raises:
      UserError: if it is conditional and there are no classes, or the groups do not fit the channels.
    """
    classes = conditioned(config.conditional, classes)
    dtype = COMPUTE_DTYPES[config.compute_dtype]
    tower = Tower(config.width, config.max_width, config.blocks, config.expansion, config.group_size, dtype)
    for _, channels in tower.stages(image_shape[:2]):
        inside = tower.expansion * channels
        if inside > tower.group_size and inside % tower.group_size:
            raise UserError(
                f"--group-size: {tower.group_size} is not allowed, it must divide the {inside} channels inside of a "
                f"block, such as {math.gcd(inside, tower.group_size)}"
            )
    rates = config.generator_learning_rate, config.discriminator_learning_rate
    generator_optimizer, discriminator_optimizer = (
        optimizer or adam(cosine_decay(rate, config.decay_steps), config.beta1, config.beta2) for rate in rates
    )
    weights = (config.r1_weight, penalties.r1), (config.r2_weight, penalties.r2)
    return gan(
        Generator(ResidualDecoder(image_shape, tower), classes),
        Discriminator(ResidualEncoder(1 + classes, tower)),
        image_shape=image_shape,
        latent_size=config.latent_size,
        prior=PRIORS[config.prior],
        truncation=config.truncation,
        classes=classes,
        generator_optimizer=generator_optimizer,
        discriminator_optimizer=discriminator_optimizer,
        loss=losses.relativistic(),
        penalties=tuple(penalty(weight) for weight, penalty in weights if weight),
        penalty_every=config.penalty_every,
        ema_decay=config.ema_decay,
        axis_name=axis_name,
        accumulate=accumulate,
    )
