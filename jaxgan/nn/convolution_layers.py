"""Convolution and transposed convolution as layers, in PyTorch's geometry, on the adjoint pair."""

import math

from flax import linen as nn
from flax.linen.dtypes import promote_dtype
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from jaxgan.nn.convolution import Pair, convolution, transposed_convolution
from jaxgan.nn.dense import matmul
from jaxgan.nn.initializers import Initialization, torch_default
from jaxgan.nn.spectral import spectrally_normalized


class Conv(nn.Module):
    """Strided convolution of images, as ``torch.nn.Conv2d``, with ``kernel`` [height, width, inputs, features].

    Attributes:
      features: channels of the output.
      kernel_size: height and width of the kernel.
      strides: how far the kernel moves.
      padding: zeros put around the images on each side.
      use_bias: whether a bias is added.
      spectral_norm: whether the kernel is divided by its largest singular value.
      initialization: the laws of kernel and bias.
      dtype: what products are computed in; None for the type of inputs and parameters, whichever is wider.
    """

    features: int
    kernel_size: Pair
    strides: Pair = (1, 1)
    padding: Pair = (0, 0)
    use_bias: bool = True
    spectral_norm: bool = False
    initialization: Initialization = torch_default()
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width inputs"]
    ) -> Float[Array, "batch down_height down_width features"]:
        """Applies the layer to a batch of images."""
        shape = (*self.kernel_size, x.shape[-1], self.features)
        kernel = self.param("kernel", self.initialization.kernel, shape)
        if self.spectral_norm:
            kernel = spectrally_normalized(self, kernel)
        bias = None
        if self.use_bias:
            bias = self.param("bias", self.initialization.bias(math.prod(shape[:3])), (self.features,))
        x, kernel, bias = promote_dtype(x, kernel, bias, dtype=self.dtype)
        if self.padding == (0, 0) and x.shape[1:3] == self.kernel_size:  # one position: a matrix product
            y = matmul(x.reshape(len(x), -1), kernel.reshape(-1, self.features))[:, None, None]
        else:
            y = convolution(x, kernel, strides=self.strides, padding=self.padding)
        return y if bias is None else y + bias


class ConvTranspose(nn.Module):
    """Transposed convolution of images, as ``torch.nn.ConvTranspose2d``, up to sizes (n - 1) s - 2p + k + op.

    Its ``kernel`` [height, width, features, inputs] is that of the convolution it is the transpose of.

    Attributes:
      features: channels of the output.
      kernel_size: height and width of the kernel.
      strides: the distance to which the pixels of the input are spread.
      padding: rows and columns cut away on each side.
      output_padding: rows and columns added at the far edge.
      use_bias: whether a bias is added.
      initialization: the laws of kernel and bias.
      dtype: what products are computed in; None for the type of inputs and parameters, whichever is wider.
    """

    features: int
    kernel_size: Pair
    strides: Pair = (1, 1)
    padding: Pair = (0, 0)
    output_padding: Pair = (0, 0)
    use_bias: bool = True
    initialization: Initialization = torch_default()
    dtype: DTypeLike | None = None

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
