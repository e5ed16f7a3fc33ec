"""The GAN of the R3GAN paper: residual networks without normalization, a relativistic loss, two gradient penalties."""

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

    latent_size: int = number(64)  # size of the latent vector z
    prior: Literal["uniform", "normal", "mixture"] = "normal"  # prior of z: U[-1, 1], N(0, 1), or ten clusters
    truncation: float = number(1.0, low=0, high=1)  # factor on the latents of samples; 1: no truncation
    conditional: bool = False  # condition both networks on the class of each image
    width: int = number(16)  # channels at full resolution; they double with every halving
    max_width: int = number(512)  # upper limit on the channels
    blocks: int = number(1, high=64)  # residual blocks per resolution
    expansion: int = number(2, high=64)  # ratio of the channels inside a block to those outside
    group_size: int = number(16)  # channels per group of the 3x3 convolutions; with fewer channels, all of them
    r1_weight: float = non_negative(0.2)  # weight gamma of R1, the gradient penalty at real images
    r2_weight: float = non_negative(0.2)  # weight gamma of R2, the gradient penalty at generated images
    penalty_every: int = number(1)  # apply the penalties in every N-th step, with N times their weight
    compute_dtype: Literal["float32", "bfloat16"] = "float32"  # dtype of matrix products; all else stays float32
    generator_learning_rate: float = non_negative(2e-4)  # Adam learning rate of the generator
    discriminator_learning_rate: float = non_negative(2e-4)  # Adam learning rate of the discriminator
    decay_steps: int = schedule_steps(0)  # steps of a cosine decay of both learning rates to 0; 0: constant
    beta1: float = probability(0.0)  # decay rate of Adam's first moment
    beta2: float = probability(0.99)  # decay rate of Adam's second moment
    ema_decay: float = probability(0.999)  # decay of the generator's moving average; 0: none


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
      UserError: if it is conditional without classes, or if the group size does not divide the channels.
    """
    classes = conditioned(config.conditional, classes)
    dtype = COMPUTE_DTYPES[config.compute_dtype]
    tower = Tower(config.width, config.max_width, config.blocks, config.expansion, config.group_size, dtype)
    for _, channels in tower.stages(image_shape[:2]):
        inside = tower.expansion * channels
        if inside > tower.group_size and inside % tower.group_size:
            raise UserError(
                f"--group-size: {tower.group_size} is not allowed, it must divide the {inside} channels inside a "
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
