"""Layers with PyTorch's geometry and defaults: dense, convolutional, normalization, spectral norm."""

import math

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.linen.dtypes import promote_dtype
from jax import lax
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from jaxgan.nn.bilinear import Pair, convolution, matmul, transposed_convolution
from jaxgan.nn.initializers import Initialization, torch_default

# The ``dtype`` of layers, by name; None is the promoted dtype of inputs and parameters.
COMPUTE_DTYPES = {"float32": None, "bfloat16": jnp.bfloat16}


class Dense(nn.Module):
    """An affine map of rows, with the parameters ``kernel`` [in, features] and ``bias`` [features]."""

    features: int  # size of the output
    use_bias: bool = True  # whether a bias is added
    initialization: Initialization = torch_default()  # initializers of kernel and bias
    dtype: DTypeLike | None = None  # compute dtype; None for the promoted dtype of inputs and parameters

    @nn.compact
    def __call__(self, x: Float[Array, "batch inputs"]) -> Float[Array, "batch features"]:
        """Applies the map to a batch of rows."""
        fan_in = x.shape[-1]
        kernel = self.param("kernel", self.initialization.kernel, (fan_in, self.features))
        bias = self.param("bias", self.initialization.bias(fan_in), (self.features,)) if self.use_bias else None
        x, kernel, bias = promote_dtype(x, kernel, bias, dtype=self.dtype)
        y = matmul(x, kernel)
        return y if bias is None else y + bias


class Conv(nn.Module):
    """Strided convolution of images, like ``torch.nn.Conv2d``, with ``kernel`` [height, width, inputs, features]."""

    features: int  # channels of the output
    kernel_size: Pair  # height and width of the kernel
    strides: Pair = (1, 1)  # steps of the kernel, in pixels
    padding: Pair = (0, 0)  # zeros added on each side of the images
    use_bias: bool = True  # whether a bias is added
    spectral_norm: bool = False  # whether the kernel is divided by its largest singular value
    initialization: Initialization = torch_default()  # initializers of kernel and bias
    dtype: DTypeLike | None = None  # compute dtype; None for the promoted dtype of inputs and parameters
    # Groups of input and output channels that are convolved separately; the kernel has the inputs of one group.
    groups: int = 1

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width inputs"]
    ) -> Float[Array, "batch down_height down_width features"]:
        """Applies the layer to a batch of images."""
        shape = (*self.kernel_size, x.shape[-1] // self.groups, self.features)
        kernel = self.param("kernel", self.initialization.kernel, shape)
        if self.spectral_norm:
            kernel = spectrally_normalized(self, kernel)
        bias = None
        if self.use_bias:
            bias = self.param("bias", self.initialization.bias(math.prod(shape[:3])), (self.features,))
        x, kernel, bias = promote_dtype(x, kernel, bias, dtype=self.dtype)
        plain = self.padding == (0, 0) and self.groups == 1
        if plain and x.shape[1:3] == self.kernel_size:  # one position: a matrix product
            y = matmul(x.reshape(x.shape[0], -1), kernel.reshape(-1, self.features))[:, None, None]
        elif plain and self.kernel_size == self.strides == (1, 1):  # 1x1: another one, faster on CPU
            y = matmul(x.reshape(-1, shape[2]), kernel[0, 0]).reshape(*x.shape[:3], self.features)
        else:
            y = convolution(x, kernel, strides=self.strides, padding=self.padding, groups=self.groups)
        return y if bias is None else y + bias


class ConvTranspose(nn.Module):
    """Transposed convolution of images, like ``torch.nn.ConvTranspose2d``: size n becomes (n - 1) s - 2p + k + op.

    Its ``kernel`` [height, width, features, inputs] is the kernel of the convolution that it transposes.
    """

    features: int  # channels of the output
    kernel_size: Pair  # height and width of the kernel
    strides: Pair = (1, 1)  # spacing of the input's pixels in the output
    padding: Pair = (0, 0)  # rows and columns cropped from each side
    output_padding: Pair = (0, 0)  # rows and columns added at the bottom and right
    use_bias: bool = True  # whether a bias is added
    initialization: Initialization = torch_default()  # initializers of kernel and bias
    dtype: DTypeLike | None = None  # compute dtype; None for the promoted dtype of inputs and parameters

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width inputs"]
    ) -> Float[Array, "batch up_height up_width features"]:
        """Applies the layer to a batch of images."""
        shape = (*self.kernel_size, self.features, x.shape[-1])
        kernel = self.param("kernel", self.initialization.transposed_kernel, shape)
        bias = None
        if self.use_bias:
            bias = self.param("bias", self.initialization.bias(math.prod(shape[:3])), (self.features,))
        x, kernel, bias = promote_dtype(x, kernel, bias, dtype=self.dtype)
        if x.shape[1:3] == (1, 1) and self.padding == self.output_padding == (0, 0):  # one pixel: a matrix product
            y = matmul(x.reshape(x.shape[0], -1), kernel.reshape(-1, x.shape[-1]).T).reshape(x.shape[0], *shape[:3])
        else:
            y = transposed_convolution(
                x, kernel, strides=self.strides, padding=self.padding, output_padding=self.output_padding
            )
        return y if bias is None else y + bias


EPSILON = 1e-5  # PyTorch's default for all normalization layers


class BatchNorm(nn.Module):
    """Batch normalization over the global batch, like ``torch.nn.BatchNorm2d`` on one device.

    In training mode it normalizes with the statistics of the batch, averaged over devices. It records them only if the
    collection ``batch_stats`` is mutable, so the caller chooses which passes are recorded.
    """

    axis_name: str | None = None  # the mapped axis that the batch is split over; None on one device
    # Weight of the new statistics in the running ones: PyTorch's convention; Flax's momentum is one minus it.
    momentum: float = 0.1

    @nn.compact
    def __call__(self, x: Float[Array, "*batch channels"], *, train: bool) -> Float[Array, "*batch channels"]:
        """Normalizes each channel, with the batch's statistics in training mode and the running ones otherwise."""
        x, channels = to_float32(x), x.shape[-1]
        scale = self.param("scale", nn.initializers.ones, (channels,))
        bias = self.param("bias", nn.initializers.zeros, (channels,))
        running_mean = self.variable("batch_stats", "mean", jnp.zeros, (channels,))
        running_var = self.variable("batch_stats", "var", jnp.ones, (channels,))
        if not train:
            mean, var = running_mean.value, running_var.value
            return (x - mean) * (scale * lax.rsqrt(var + EPSILON)) + bias
        mean = self._mean(x)
        centred = x - mean
        var = self._mean(jnp.square(centred))
        if self.is_mutable_collection("batch_stats") and not self.is_initializing():
            count = x.size // channels * (lax.axis_size(self.axis_name) if self.axis_name else 1)
            unbiased = var * (count / (count - 1)) if count > 1 else var
            running_mean.value += self.momentum * (mean - running_mean.value)
            running_var.value += self.momentum * (unbiased - running_var.value)
        return centred * (scale * lax.rsqrt(var + EPSILON)) + bias

    def _mean(self, x: Float[Array, "*batch channels"]) -> Float[Array, " channels"]:
        mean = jnp.mean(x, axis=range(x.ndim - 1))
        return lax.pmean(mean, self.axis_name) if self.axis_name else mean


class ExampleNorm(nn.Module):
    """Instance or layer normalization: no image's gradient depends on another image."""

    # ``instance``: statistics of each channel of an image (``torch.nn.InstanceNorm2d(affine=True)``); ``layer``:
    # statistics of the whole image (``torch.nn.GroupNorm(1, channels)``).
    over: str

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width channels"], *, train: bool = True
    ) -> Float[Array, "batch height width channels"]:
        """Normalizes, then scales and shifts each channel; ``train`` has no effect."""
        x = to_float32(x)
        scale = self.param("scale", nn.initializers.ones, (x.shape[-1],))
        bias = self.param("bias", nn.initializers.zeros, (x.shape[-1],))
        axes = (1, 2) if self.over == "instance" else (1, 2, 3)
        centred = x - jnp.mean(x, axes, keepdims=True)
        var = jnp.mean(jnp.square(centred), axes, keepdims=True)
        return centred * (scale * lax.rsqrt(var + EPSILON)) + bias


SPECTRAL_EPSILON = 1e-12  # PyTorch's, to avoid a division by zero
FIRST_STEPS = 15  # power iterations at initialization, as in PyTorch; later passes take one


def spectrally_normalized(layer: nn.Module, kernel: Float[Array, "*inputs outputs"]) -> Float[Array, "*inputs outputs"]:
    """Divides a layer's kernel by its spectral norm: the largest singular value as an [inputs, outputs] matrix.

    Power iteration estimates the value. The collection ``batch_stats`` holds both singular vectors, and a pass in which
    it is mutable updates them by one step. Gradients flow through the value but not through the vectors, as in
    ``torch.nn.utils.parametrizations.spectral_norm``.

    Args:
      layer: the bound module that owns the kernel.
      kernel: the kernel, outputs last.

    Returns:
      The normalized kernel.

    References:
      Miyato et al., Spectral Normalization for Generative Adversarial Networks, 2018, algorithm 1.
    """
    matrix = kernel.reshape(-1, kernel.shape[-1])

    def start(count: int) -> Array:
        # Any direction not orthogonal to the singular vector works; the only key of init is that of the params.
        return _unit(jax.random.normal(jax.random.fold_in(layer.make_rng("params"), count), (count,)))

    u = layer.variable("batch_stats", "u", lambda: start(matrix.shape[1]))
    v = layer.variable("batch_stats", "v", lambda: start(matrix.shape[0]))
    if layer.is_mutable_collection("batch_stats"):
        fixed = lax.stop_gradient(matrix)
        for _ in range(FIRST_STEPS if layer.is_initializing() else 1):
            u.value = _unit(v.value @ fixed)
            v.value = _unit(fixed @ u.value)
    return kernel / (v.value @ matrix @ u.value)


def _unit(vector: Float[Array, " n"]) -> Float[Array, " n"]:
    return vector / jnp.maximum(jnp.linalg.norm(vector), SPECTRAL_EPSILON)


def to_float32(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Casts to float32 unless the dtype is wider; for normalization, outputs, losses and penalties."""
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))
