"""The chapter's convolutional networks: strided convolutions down, transposed convolutions up, for images of any size.

An image is halved until no side is longer than four pixels: an even side by a kernel of 4 with stride 2 and padding 1,
an odd one by a kernel of 3, so that 28 goes to 14, 7 and 4. One more kernel covers what is left. With each halving the
channels double, from ``width``. The way up is the same ladder, climbed backwards.
"""

from collections.abc import Callable
from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int, UInt32

from jaxgan.nn.convolution import Geometry, Pair
from jaxgan.nn.convolution_layers import Conv, ConvTranspose
from jaxgan.nn.dense import Dense
from jaxgan.nn.initializers import Initialization, torch_default, unit_normal
from jaxgan.nn.normalization import BatchNorm, ExampleNorm
from jaxgan.nn.precision import widened

SMALLEST = 4  # pixels on a side that one kernel covers


def ladder(size: Pair) -> tuple[Geometry, ...]:
    """Lists the geometries of the convolutions that take an image to one pixel, the largest image first.

    Args:
      size: height and width of the image.

    Returns:
      Halvings, and a last kernel of the size of what they leave.
    """
    steps = []
    while max(size) > SMALLEST:
        halved = [(2 if n > SMALLEST else 1) for n in size]
        kernel = tuple((4 if n % 2 == 0 else 3) if s == 2 else 1 for n, s in zip(size, halved, strict=True))
        steps.append(Geometry(kernel, tuple(halved), tuple(1 if s == 2 else 0 for s in halved)))
        size = steps[-1].down(size)
    return (*steps, Geometry(size))


def normalization(kind: str, *, axis_name: str | None, name: str) -> Callable[..., Array]:
    """Makes a layer that normalizes activations.

    Args:
      kind: ``batch``, ``instance``, ``layer`` or ``none``.
      axis_name: the mapped axis that a batch is split over.
      name: the layer's name in its network.

    Returns:
      A function of (activations, train=).
    """
    if kind == "batch":
        return BatchNorm(axis_name, name=name)
    return (lambda x, *, train: x) if kind == "none" else ExampleNorm(kind, name=name)


class Down(nn.Module):
    """From images to a vector each: the discriminator's ladder, also an encoder.

    Attributes:
      features: numbers in the vector.
      width: channels at half of the image's size.
      bias: whether the convolutions have biases.
      negative_slope: slope of LeakyReLU below zero.
      norm: the normalization after each convolution but the first and the last.
      spectral_norm: whether kernels are divided by their largest singular values.
      initialization: the laws of all weights.
      axis_name: the mapped axis that a batch is split over; None on one device.
      dtype: what products are computed in; None for the parameters' own type.
    """

    features: int
    width: int = 32
    bias: bool = False
    negative_slope: float = 0.2
    norm: str = "batch"
    spectral_norm: bool = False
    initialization: Initialization = torch_default()
    axis_name: str | None = None
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width channels"], *, train: bool = False
    ) -> Float[Array, "batch features"]:
        """Maps each image to its vector."""
        *halvings, last = ladder(x.shape[1:3])
        for i, geometry in enumerate(halvings):
            x = self._conv(self.width * 2**i, geometry, name=f"conv_{i}")(x)
            if i > 0:
                x = normalization(self.norm, axis_name=self.axis_name, name=f"norm_{i}")(x, train=train)
            x = nn.leaky_relu(x, self.negative_slope)
        return widened(self._conv(self.features, last, name="output")(x)[:, 0, 0])

    def _conv(self, features: int, geometry: Geometry, *, name: str) -> Conv:
        options = self.bias, self.spectral_norm, self.initialization, self.dtype
        return Conv(features, *geometry, *options, name=name)


class Up(nn.Module):
    """From a vector each to images: the generator's ladder, also a decoder.

    Attributes:
      image_shape: height, width and channels of an image.
      width: channels at half of the image's size.
      bias: whether the convolutions have biases.
      negative_slope: slope of LeakyReLU below zero.
      norm: the normalization after each convolution but the last.
      initialization: the laws of all weights.
      axis_name: the mapped axis that a batch is split over; None on one device.
      dtype: what products are computed in; None for the parameters' own type.
    """

    image_shape: tuple[int, int, int]
    width: int = 32
    bias: bool = False
    negative_slope: float = 0.2
    norm: str = "batch"
    initialization: Initialization = torch_default()
    axis_name: str | None = None
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(
        self, z: Float[Array, "batch latent"], *, train: bool = False
    ) -> Float[Array, "batch height width channels"]:
        """Maps each vector to an image of unbounded values."""
        *size, channels = self.image_shape
        x = z[:, None, None, :]
        for i, geometry in reversed(list(enumerate(ladder(tuple(size))))):
            features, name = (self.width * 2 ** (i - 1), f"conv_{i}") if i else (channels, "output")
            options = (0, 0), self.bias, self.initialization, self.dtype
            x = ConvTranspose(features, *geometry, *options, name=name)(x)
            if i:
                x = normalization(self.norm, axis_name=self.axis_name, name=f"norm_{i}")(x, train=train)
                x = nn.leaky_relu(x, self.negative_slope)
        return widened(x)


class Generator(nn.Module):
    """Maps latents to images: the ladder up, and tanh.

    Told a class, it draws from the latents and, beside them, as many numbers that it learns for the class: an offset of
    the first layer, which leaves the law of the latents alone (a product would give all classes one image at zero). A
    product with indicators picks these numbers, since its gradient, unlike a gather's, is the same on every machine.

    Attributes:
      up: the ladder, whose layers become the generator's own.
      classes: how many classes of images it draws; 0 if it is told none.
    """

    up: Up
    classes: int = 0

    def setup(self) -> None:
        """Takes over the ladder's layers."""
        nn.share_scope(self, self.up)

    @nn.compact
    def __call__(
        self, z: Float[Array, "batch latent"], labels: Int[Array, " batch"] | None = None, *, train: bool = False
    ) -> Float[Array, "batch height width channels"]:
        """Draws one image, with values in [-1, 1], from each latent vector.

        Args:
          z: the latents.
          labels: the class of each image; None for all classes in turn, which begin with class 0.
          train: whether batch statistics are those of this batch.
        """
        if self.classes:
            count, size = z.shape
            labels = jnp.arange(count) % self.classes if labels is None else labels
            embedding = Dense(size, False, unit_normal(), self.up.dtype, name="embedding")
            z = jnp.concatenate([z, embedding(jax.nn.one_hot(labels, self.classes, dtype=z.dtype))], axis=1)
        return jnp.tanh(self.up(z, train=train))


class Discriminator(nn.Module):
    """Tells real images from generated ones, or rates them as a critic: the ladder down to one logit.

    Where it is told what class an image should show, the logit is psi(phi) + <embedding of the class, phi>, phi being
    the activations before the last layer and psi linear. Both are features of that layer: the first is psi, then comes
    one for each class, whose kernel is the embedding.

    Attributes:
      down: the ladder, with one feature and one more for each class, whose layers become the discriminator's own.

    References:
      Miyato and Koyama, cGANs with Projection Discriminator, 2018, equation 4.
    """

    down: Down
    noise_offsets: ClassVar[tuple[int, ...]] = (0,)  # it takes no noise

    def setup(self) -> None:
        """Takes over the ladder's layers."""
        nn.share_scope(self, self.down)

    def __call__(
        self,
        images: Float[Array, "batch height width channels"],
        bits: UInt32[Array, "batch 0"] | None = None,
        labels: Int[Array, " batch"] | None = None,
    ) -> Float[Array, " batch"]:
        """Judges each image.

        Args:
          images: values in [-1, 1].
          bits: no words at all for training mode; None for evaluation mode.
          labels: the class that each image should show; None to judge it by psi alone.

        Returns:
          Logits without a bound: the probability of being real is their sigmoid, a critic's rating the logit itself.
        """
        features = self.down(images, train=bits is not None)
        psi, projections = features[:, 0], features[:, 1:]
        if labels is None:
            return psi
        return psi + jnp.sum(projections * jax.nn.one_hot(labels, projections.shape[1], dtype=psi.dtype), axis=1)

    def judge_pair(
        self,
        real: Float[Array, "batch height width channels"],
        fake: Float[Array, "batch height width channels"],
        real_bits: UInt32[Array, "batch 0"],
        fake_bits: UInt32[Array, "batch 0"],
        labels: Int[Array, " batch"] | None = None,
    ) -> tuple[Float[Array, " batch"], Float[Array, " batch"]]:
        """Judges a real and a generated batch, one after the other where the statistics of a batch must not mix.

        Args:
          real: values in [-1, 1].
          fake: values in [-1, 1].
          real_bits: no words.
          fake_bits: no words.
          labels: the class that an image of either batch should show; None to judge without.

        Returns:
          The logits of both batches.
        """
        if self.down.norm == "batch":
            return self(real, real_bits, labels), self(fake, fake_bits, labels)
        twice = None if labels is None else jnp.concatenate([labels, labels])
        both = self(jnp.concatenate([real, fake]), jnp.concatenate([real_bits, fake_bits]), twice)
        return tuple(jnp.split(both, [len(real)]))
