"""The fully connected layer, on a matrix product that is closed under differentiation."""

import jax
from flax import linen as nn
from flax.linen.dtypes import promote_dtype
from jax import lax
from jax.typing import DTypeLike
from jaxtyping import Array, ArrayLike, Float

from jaxgan.nn.initializers import Initialization, torch_default
from jaxgan.nn.varying import vary_alike


def matmul(x: Float[ArrayLike, "n k"], w: Float[ArrayLike, "k m"]) -> Float[Array, "n m"]:
    """Multiplies two matrices; both gradients are again this product, so derivatives of every order are.

    Differs from ``x @ w`` only in how the gradient of a tall kernel reaches the CPU. XLA folds the transpose of ``x``
    into the product, for which its CPU backend has a kernel that is slow where ``x`` is wide; there the transpose is
    kept apart, which makes that gradient a third faster on one thread, though somewhat slower on two.

    Args:
      x: left factor, a batch of rows.
      w: right factor, a kernel.

    Returns:
      The product.
    """
    return _matmul(*vary_alike(x, w))


@jax.custom_vjp
def _matmul(x: ArrayLike, w: ArrayLike) -> Array:
    return x @ w


def _forward(x: ArrayLike, w: ArrayLike) -> tuple[Array, tuple[ArrayLike, ArrayLike]]:
    return _matmul(x, w), (x, w)


def _backward(residuals: tuple[ArrayLike, ArrayLike], g: ArrayLike) -> tuple[Array, Array]:
    x, w = residuals
    transpose = lax.optimization_barrier if x.shape[-1] > g.shape[-1] else lambda x_transposed: x_transposed
    x_transposed = lax.platform_dependent(x.T, cpu=transpose, default=lambda x_transposed: x_transposed)
    return matmul(g, w.T), matmul(x_transposed, g)


_matmul.defvjp(_forward, _backward)


class Dense(nn.Module):
    """An affine map of rows, with the parameters ``kernel`` [in, features] and ``bias`` [features].

    Attributes:
      features: size of the output.
      use_bias: whether a bias is added.
      initialization: the laws of kernel and bias.
      dtype: what products are computed in; None for the type of inputs and parameters, whichever is wider.
    """

    features: int
    use_bias: bool = True
    initialization: Initialization = torch_default()
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, x: Float[Array, "batch inputs"]) -> Float[Array, "batch features"]:
        """Applies the map to a batch of rows."""
        fan_in = x.shape[-1]
        kernel = self.param("kernel", self.initialization.kernel, (fan_in, self.features))
        bias = self.param("bias", self.initialization.bias(fan_in), (self.features,)) if self.use_bias else None
        x, kernel, bias = promote_dtype(x, kernel, bias, dtype=self.dtype)
        y = matmul(x, kernel)
        return y if bias is None else y + bias
