"""The methods of the chapter, as the fields that each is built from."""

import types
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from jaxgan.config.fields import number, share, weight

LatentLaw = Literal["uniform", "normal", "mixture"]
Initialization = Literal["torch", "lecun", "dcgan"]
ComputeType = Literal["float32", "bfloat16"]
Normalization = Literal["batch", "instance", "layer", "none"]


@dataclass(frozen=True)
class Autoencoder:
    """Squeezes images through a few numbers and restores them; no generative model, and it shows why."""

    title: ClassVar[str] = "Autoencoder"

    encoder: Literal["linear", "mlp", "conv"] = "mlp"  # one layer each way, a deep one, or strided convolutions
    latent_size: int = number(32)  # numbers that an image is squeezed into
    hidden_layers: int = number(2)  # hidden layers of the mlp, each way
    hidden_units: int = number(400)  # units in each of them
    width: int = number(32)  # channels of the first convolution of the conv encoder; they double from layer to layer
    loss: Literal["mse", "bernoulli"] = "mse"  # squared error, or cross-entropy of pixels taken as probabilities
    initialization: Initialization = "torch"  # weights: U(+-1/sqrt(fan_in)), biases too; LeCun normal; or N(0, 0.02)
    compute_dtype: ComputeType = "float32"  # what products are computed in; parameters and all else stay float32
    learning_rate: float = weight(1e-3)  # Adam step size
    beta1: float = share(0.9)  # Adam decay of the gradient's mean
    beta2: float = share(0.999)  # Adam decay of the squared gradient's mean


@dataclass(frozen=True)
class VAE:
    """The variational autoencoder: a prior on the latents makes its decoder a generator (Kingma & Welling 2014)."""

    title: ClassVar[str] = "Variational autoencoder"

    encoder: Literal["mlp", "conv"] = "mlp"  # fully connected, or strided convolutions; the decoder mirrors it
    latent_size: int = number(20)  # numbers in the latent vector z
    hidden_layers: int = number(1)  # hidden layers of the mlp, each way
    hidden_units: int = number(400)  # units in each of them
    width: int = number(32)  # channels of the first convolution of the conv encoder; they double from layer to layer
    beta: float = weight(1.0)  # weight of the KL divergence; 1 makes the loss the negative ELBO
    targets: Literal["soft", "binarized"] = "soft"  # pixels as probabilities, or 0 and 1 drawn from them every step
    initialization: Initialization = "torch"  # weights: U(+-1/sqrt(fan_in)), biases too; LeCun normal; or N(0, 0.02)
    compute_dtype: ComputeType = "float32"  # what products are computed in; parameters and all else stay float32
    learning_rate: float = weight(1e-3)  # Adam step size
    beta1: float = share(0.9)  # Adam decay of the gradient's mean
    beta2: float = share(0.999)  # Adam decay of the squared gradient's mean
    ema_decay: float = share(0.99)  # decay of the averaged parameters that are measured and drawn from; 0: none


@dataclass(frozen=True)
class VanillaGAN:
    """The chapter's first GAN: two fully connected networks, binary cross-entropy, Adam (Goodfellow et al. 2014)."""

    title: ClassVar[str] = "Vanilla GAN"

    latent_size: int = number(20)  # numbers in the latent vector z
    latent_law: LatentLaw = "uniform"  # law of z: U[-1, 1], N(0, 1), or ten clusters
    hidden_layers: int = number(1)  # hidden layers of each network
    hidden_units: int = number(100)  # units in each hidden layer
    hidden_bias: bool = True  # biases in the generator's hidden layers (the discriminator's have none)
    negative_slope: float = number(0.01, low=0, high=1)  # slope of LeakyReLU below zero
    dropout_rate: float = share(0.5)  # share of discriminator units dropped
    initialization: Initialization = "torch"  # weights: U(+-1/sqrt(fan_in)), biases too; LeCun normal; or N(0, 0.02)
    compute_dtype: ComputeType = "float32"  # what products are computed in; parameters and all else stay float32
    generator_learning_rate: float = weight(1e-3)  # Adam step size of the generator
    discriminator_learning_rate: float = weight(1e-3)  # Adam step size of the discriminator
    beta1: float = share(0.9)  # Adam decay of the gradient's mean
    beta2: float = share(0.999)  # Adam decay of the squared gradient's mean
    ema_decay: float = share(0.0)  # decay of the averaged generator; 0 keeps none


@dataclass(frozen=True)
class DCGAN:
    """The deep convolutional GAN: strided and transposed convolutions, batch normalization (Radford et al. 2016)."""

    latent_size: int = number(100)  # numbers in the latent vector z
    latent_law: LatentLaw = "normal"  # law of z: U[-1, 1], N(0, 1), or ten clusters
    truncation: float = number(1.0, low=0, high=1)  # share of the latents' spread that samples keep; 1: all of it
    conditional: bool = False  # tell both networks the class of each image, so that it can be asked for
    width: int = number(32)  # channels at half of the image's size; they double with every halving
    bias: bool = False  # biases in the convolutions
    negative_slope: float = number(0.2, low=0, high=1)  # slope of LeakyReLU below zero
    generator_norm: Normalization = "batch"  # normalization between the generator's layers
    discriminator_norm: Normalization = "batch"  # normalization between the discriminator's layers
    spectral_norm: bool = False  # divide the discriminator's kernels by their largest singular values
    loss: Literal["non_saturating", "minimax", "least_squares", "hinge", "relativistic"] = "non_saturating"  # the game
    r1_weight: float = weight(0.0)  # gamma of the penalty on the discriminator's gradient at real images
    r2_weight: float = weight(0.0)  # gamma of the same at generated images
    dragan_weight: float = weight(0.0)  # lambda of the gradient penalty around real images
    penalty_every: int = number(1)  # steps between penalties, which then weigh so many times more
    initialization: Initialization = "torch"  # weights: U(+-1/sqrt(fan_in)), biases too; LeCun normal; or N(0, 0.02)
    compute_dtype: ComputeType = "float32"  # what products are computed in; parameters and all else stay float32
    generator_learning_rate: float = weight(3e-4)  # Adam step size of the generator
    discriminator_learning_rate: float = weight(2e-4)  # Adam step size of the discriminator
    decay_steps: int = number(0, low=0)  # steps in which both fall to nothing along a cosine; 0: they stay
    beta1: float = share(0.9)  # Adam decay of the gradient's mean; the DCGAN paper has 0.5
    beta2: float = share(0.999)  # Adam decay of the squared gradient's mean
    ema_decay: float = share(0.0)  # decay of the averaged generator; 0 keeps none

    @property
    def title(self) -> str:
        """What to call it in pictures: with this loss and both penalties it goes by the name of Huang et al. 2024."""
        return "R3GAN" if self.loss == "relativistic" and self.r1_weight and self.r2_weight else "DCGAN"


@dataclass(frozen=True)
class WGAN:
    """The Wasserstein GAN: a critic estimates the distance of two distributions (Arjovsky et al. 2017)."""

    title: ClassVar[str] = "Wasserstein GAN"

    constraint: Literal["gradient-penalty", "clip"] = "gradient-penalty"  # what bounds the critic's slope
    penalty_weight: float = weight(10.0)  # lambda of the gradient penalty
    clip: float = number(0.01, low=1e-6, high=float("inf"))  # bound on the critic's weights under clip
    critic_steps: int = number(5)  # critic steps for one of the generator, each on a batch and noise of its own
    latent_size: int = number(100)  # numbers in the latent vector z
    latent_law: LatentLaw = "normal"  # law of z: U[-1, 1], N(0, 1), or ten clusters
    width: int = number(32)  # channels at half of the image's size; they double with every halving
    negative_slope: float = number(0.2, low=0, high=1)  # slope of LeakyReLU below zero
    critic_norm: Literal["instance", "layer", "none"] = "instance"  # batch statistics would tie images together
    initialization: Initialization = "torch"  # weights: U(+-1/sqrt(fan_in)), biases too; LeCun normal; or N(0, 0.02)
    compute_dtype: ComputeType = "float32"  # what products are computed in; parameters and all else stay float32
    learning_rate: float | None = weight(None)  # of both networks; None: 2e-4 for Adam, 5e-5 for RMSprop under clip
    beta1: float = share(0.5)  # Adam decay of the gradient's mean
    beta2: float = share(0.9)  # Adam decay of the squared gradient's mean
    ema_decay: float = share(0.0)  # decay of the averaged generator; 0 keeps none


@dataclass(frozen=True)
class Classifier:
    """A small convolutional classifier, whose features the quality of samples is measured by."""

    title: ClassVar[str] = "Digit classifier"

    width: int = number(32)  # channels at half of the image's size; three times as many in the last features
    augment: bool = True  # turn, shear, scale and shift training images a little, anew every time
    initialization: Initialization = "torch"  # weights: U(+-1/sqrt(fan_in)), biases too; LeCun normal; or N(0, 0.02)
    compute_dtype: ComputeType = "float32"  # what products are computed in; parameters and all else stay float32
    learning_rate: float = weight(4e-3)  # Adam step size at the start, or at its peak
    decay_steps: int = number(0, low=0)  # steps in which it rises to its peak and falls to nothing; 0: it stays
    beta1: float = share(0.9)  # Adam decay of the gradient's mean
    beta2: float = share(0.999)  # Adam decay of the squared gradient's mean


Method = Autoencoder | VAE | VanillaGAN | DCGAN | WGAN | Classifier  # each is one `kind` in config.json
METHODS: Mapping[str, type[Method]] = types.MappingProxyType(
    {"autoencoder": Autoencoder, "vae": VAE, "vanilla_gan": VanillaGAN, "dcgan": DCGAN, "wgan": WGAN}
    | {"digit_classifier": Classifier}
)
