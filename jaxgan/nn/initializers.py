"""Initializers of kernels and biases."""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from flax import linen as nn
from jax.nn.initializers import Initializer


class Initialization(NamedTuple):
    """Initializers of one layer; the bias may depend on fan_in, as in PyTorch."""

    kernel: Initializer
    transposed_kernel: Initializer  # of a transposed convolution, whose last axis is the inputs
    bias: Callable[[int], Initializer]  # from fan_in


def _uniform(fan_in: int) -> Initializer:
    bound = 1 / math.sqrt(fan_in)
    uniform = nn.initializers.uniform(2 * bound)
    return lambda key, shape, dtype=float, out_sharding=None: uniform(key, shape, dtype) - bound


def _as_matrix(initializer: Initializer, *, transposed: bool = False) -> Initializer:
    """Draws a kernel as an [inputs, outputs] matrix: XLA:CPU compiles random arrays of four axes slowly."""

    def draw(key: Any, shape: Sequence[int], dtype: Any = float, out_sharding: Any = None) -> Any:
        *window, a, b = shape
        area = math.prod(window)
        return initializer(key, (a, area * b) if transposed else (area * a, b), dtype).reshape(shape)

    return draw


def torch_default() -> Initialization:
    """PyTorch's default for linear and convolutional layers: U[-1/sqrt(fan_in), 1/sqrt(fan_in)].

    Returns:
      The initialization. A variance of 1/(3 fan_in) gives a uniform distribution of half-width 1/sqrt(fan_in). As in
      PyTorch, fan_in of a transposed layer counts its outputs.
    """
    kernel = _as_matrix(nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform"))
    return Initialization(kernel, kernel, bias=_uniform)


def lecun() -> Initialization:
    """Flax's default: truncated normal kernels of variance 1/fan_in, zero biases (LeCun et al. 1998)."""
    transposed = _as_matrix(nn.initializers.lecun_normal(in_axis=-1, out_axis=-2), transposed=True)
    return Initialization(
        _as_matrix(nn.initializers.lecun_normal()), transposed, bias=lambda fan_in: nn.initializers.zeros
    )


def unit_normal() -> Initialization:
    """PyTorch's default for embeddings: kernels from N(0, 1), zero biases.

    Returns:
      The initialization.
    """
    kernel = _as_matrix(nn.initializers.normal(1.0))
    return Initialization(kernel, kernel, bias=lambda fan_in: nn.initializers.zeros)


def dcgan() -> Initialization:
    """The DCGAN paper's: normal kernels of standard deviation 0.02, zero biases (Radford et al. 2016, section 4)."""
    kernel = _as_matrix(nn.initializers.normal(0.02))
    return Initialization(kernel, kernel, bias=lambda fan_in: nn.initializers.zeros)


def scaled_normal(variance: float) -> Initialization:
    """Kernels from N(0, variance / fan_in), zero biases; a variance of 2 is that of He et al. (2015) for ReLU.

    Args:
      variance: variance of a layer's outputs if its inputs have variance 1.

    Returns:
      The initialization.
    """
    kernel = _as_matrix(nn.initializers.variance_scaling(variance, "fan_in", "normal"))
    return Initialization(kernel, kernel, bias=lambda fan_in: nn.initializers.zeros)


INITIALIZATIONS = {"torch": torch_default, "lecun": lecun, "dcgan": dcgan}
