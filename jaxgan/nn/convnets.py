"""The chapter's convolutional networks: strided convolutions down, transposed convolutions up, for images of any size.

A pyramid halves an image until no side is longer than four pixels. An even side takes a kernel of 4 with stride 2 and
padding 1, an odd side a kernel of 3, so 28 becomes 14, 7 and 4. A last kernel covers the remaining pixels. The channels
start at ``width`` and double with each halving. The decoder is the same pyramid in reverse.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from jaxgan.nn.bilinear import Geometry, Pair, pair
from jaxgan.nn.initializers import Initialization, torch_default, unit_normal
from jaxgan.nn.layers import BatchNorm, Conv, ConvTranspose, Dense, ExampleNorm, to_float32

SMALLEST = 4  # longest side, in pixels, that the last kernel covers


def pyramid(size: Pair) -> tuple[Geometry, ...]:
    """Lists the geometries of the convolutions that reduce an image to one pixel, the largest image first.

    Args:
      size: height and width of the image.

    Returns:
      The halvings, and a last kernel as large as the image that they leave.
    """
    steps = []
    while max(size) > SMALLEST:
        strides = pair(2 if n > SMALLEST else 1 for n in size)
        kernel = pair((4 if n % 2 == 0 else 3) if s == 2 else 1 for n, s in zip(size, strides, strict=True))
        steps.append(Geometry(kernel, strides, pair(1 if s == 2 else 0 for s in strides)))
        size = steps[-1].down(size)
    return (*steps, Geometry(size))


def normalization(kind: str, *, axis_name: str | None, name: str) -> Callable[..., Array]:
    """Makes a layer that normalizes activations.

    Args:
      kind: ``batch``, ``instance``, ``layer`` or ``none``.
      axis_name: the mapped axis that a batch is split over.
      name: the layer's name in its network.

    Returns:
      A function of ``(activations, *, train)``.
    """
    if kind == "batch":
        return BatchNorm(axis_name, name=name)
    return (lambda x, *, train: x) if kind == "none" else ExampleNorm(kind, name=name)


class ConvEncoder(nn.Module):
    """Maps images to vectors: the pyramid of a discriminator or an encoder."""

    features: int  # size of the vector
    width: int = 32  # channels at half the image size
    bias: bool = False  # whether the convolutions have biases
    negative_slope: float = 0.2  # slope of LeakyReLU below zero
    norm: str = "batch"  # normalization after each convolution except the first and the last
    spectral_norm: bool = False  # whether kernels are divided by their largest singular values
    initialization: Initialization = torch_default()  # initializers of all weights
    axis_name: str | None = None  # the mapped axis that a batch is split over; None on one device
    dtype: DTypeLike | None = None  # compute dtype; None for that of the parameters

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width channels"], *, train: bool = False
    ) -> Float[Array, "batch features"]:
        """Maps each image to its vector."""
        *halvings, last = pyramid(pair(x.shape[1:3]))
        for i, geometry in enumerate(halvings):
            x = self._conv(self.width * 2**i, geometry, name=f"conv_{i}")(x)
            if i > 0:
                x = normalization(self.norm, axis_name=self.axis_name, name=f"norm_{i}")(x, train=train)
            x = nn.leaky_relu(x, self.negative_slope)
        return to_float32(self._conv(self.features, last, name="output")(x)[:, 0, 0])

    def _conv(self, features: int, geometry: Geometry, *, name: str) -> Conv:
        options = self.bias, self.spectral_norm, self.initialization, self.dtype
        return Conv(features, *geometry, *options, name=name)


class ConvDecoder(nn.Module):
    """Maps vectors to images: the pyramid of a generator or a decoder."""

    image_shape: tuple[int, int, int]  # height, width and channels of an image
    width: int = 32  # channels at half the image size
    bias: bool = False  # whether the convolutions have biases
    negative_slope: float = 0.2  # slope of LeakyReLU below zero
    norm: str = "batch"  # normalization after each convolution except the last
    initialization: Initialization = torch_default()  # initializers of all weights
    axis_name: str | None = None  # the mapped axis that a batch is split over; None on one device
    dtype: DTypeLike | None = None  # compute dtype; None for that of the parameters

    @nn.compact
    def __call__(
        self, z: Float[Array, "batch latent"], *, train: bool = False
    ) -> Float[Array, "batch height width channels"]:
        """Maps each vector to an image of unbounded values."""
        height, width, channels = self.image_shape
        x = z[:, None, None, :]
        for i, geometry in reversed(list(enumerate(pyramid((height, width))))):
            features, name = (self.width * 2 ** (i - 1), f"conv_{i}") if i else (channels, "output")
            options = (0, 0), self.bias, self.initialization, self.dtype
            x = ConvTranspose(features, *geometry, *options, name=name)(x)
            if i:
                x = normalization(self.norm, axis_name=self.axis_name, name=f"norm_{i}")(x, train=train)
                x = nn.leaky_relu(x, self.negative_slope)
        return to_float32(x)


class Generator(nn.Module):
    """Maps latents to images: a decoder, and tanh.

    If conditional, it concatenates the latents with an embedding of the class. This adds an offset to the first layer
    and does not change the distribution of the latents. (A product would give all classes the same image at zero.)
    The embedding is a product with one-hot vectors: its gradient, unlike a gather's, is the same on every machine.
    """

    # ConvDecoder, or another network from vectors to images. Its parameters live in the generator's scope.
    decoder: nn.Module
    classes: int = 0  # number of classes; 0 if unconditional

    def setup(self) -> None:
        """Puts the decoder's parameters in this module's scope."""
        nn.share_scope(self, self.decoder)

    @nn.compact
    def __call__(
        self, z: Float[Array, "batch latent"], labels: Int[Array, " batch"] | None = None, *, train: bool = False
    ) -> Float[Array, "batch height width channels"]:
        """Maps each latent vector to an image in [-1, 1].

        Args:
          z: the latents.
          labels: class of each image; None cycles through the classes, from class 0.
          train: whether batch normalization uses the statistics of this batch.
        """
        if self.classes:
            count, size = z.shape
            labels = jnp.arange(count) % self.classes if labels is None else labels
            embedding = Dense(size, False, unit_normal(), self.decoder.dtype, name="embedding")
            z = jnp.concatenate([z, embedding(jax.nn.one_hot(labels, self.classes, dtype=z.dtype))], axis=1)
        return jnp.tanh(self.decoder(z, train=train))


class Discriminator(nn.Module):
    """Maps images to the logit of being real, or to a critic's value: an encoder with one output.

    If conditional, the logit is psi(phi) + <embedding of the class, phi>, with the activations phi before the last
    layer and a linear psi. That layer computes both: its first feature is psi, and one more feature per class has the
    class embedding as its kernel. These class features are sown as ``projections``: with psi added, each is a logit.

    References:
      Miyato and Koyama, cGANs with Projection Discriminator, 2018, equation 4.
    """

    # ConvEncoder, or another network from images to vectors, with 1 + classes features. Its parameters live in the
    # discriminator's scope.
    encoder: nn.Module

    def setup(self) -> None:
        """Puts the encoder's parameters in this module's scope."""
        nn.share_scope(self, self.encoder)

    def __call__(
        self,
        images: Float[Array, "batch height width channels"],
        labels: Int[Array, " batch"] | None = None,
        *,
        train: bool = False,
    ) -> Float[Array, " batch"]:
        """Computes a logit for each image.

        Args:
          images: values in [-1, 1].
          labels: class that each image should show; None for psi alone.
          train: whether batch normalization uses the statistics of this batch.

        Returns:
          Unbounded logits. Their sigmoid is the probability of being real; a critic's value is the logit itself.
        """
        features = self.encoder(images, train=train)
        psi, projections = features[:, 0], features[:, 1:]
        self.sow("intermediates", "projections", projections)
        if labels is None:
            return psi
        return psi + jnp.sum(projections * jax.nn.one_hot(labels, projections.shape[1], dtype=psi.dtype), axis=1)

    def logits_of_pair(
        self,
        real: Float[Array, "batch height width channels"],
        fake: Float[Array, "batch height width channels"],
        labels: Int[Array, " batch"] | None = None,
    ) -> tuple[Float[Array, " batch"], Float[Array, " batch"]]:
        """Computes the logits of a real and a generated batch in training mode.

        With batch normalization each batch passes separately, so that their statistics do not mix.

        Args:
          real: values in [-1, 1].
          fake: values in [-1, 1].
          labels: class that image i of either batch should show; None if unconditional.

        Returns:
          The logits of both batches.
        """
        if self.encoder.norm == "batch":
            return self(real, labels, train=True), self(fake, labels, train=True)
        twice = None if labels is None else jnp.concatenate([labels, labels])
        both = self(jnp.concatenate([real, fake]), twice, train=True)
        of_real, of_fake = jnp.split(both, [len(real)])
        return of_real, of_fake
