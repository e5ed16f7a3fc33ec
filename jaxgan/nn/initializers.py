"""The laws that weights are drawn from before training."""

import math
from collections.abc import Callable
from typing import NamedTuple

from flax import linen as nn
from jax.nn.initializers import Initializer


class Initialization(NamedTuple):
    """How one layer's kernel and bias begin; the bias's law may depend on the number of inputs, as in PyTorch."""

    kernel: Initializer
    transposed_kernel: Initializer  # of a transposed convolution, whose inputs are the last axis
    bias: Callable[[int], Initializer]  # from fan_in


def _uniform(fan_in: int) -> Initializer:
    bound = 1 / math.sqrt(fan_in)
    uniform = nn.initializers.uniform(2 * bound)
    return lambda key, shape, dtype=float: uniform(key, shape, dtype) - bound


def torch_default() -> Initialization:
    """PyTorch's law for linear and convolutional layers: kernel and bias from U[-1/sqrt(fan_in), 1/sqrt(fan_in)].

    Returns:
      The initialization. A variance of scale/fan_in has a uniform law of half-width sqrt(3 scale/fan_in). For a
      transposed layer PyTorch counts its outputs as fan_in, and so does this.
    """
    kernel = nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")
    return Initialization(kernel, kernel, bias=_uniform)


def lecun() -> Initialization:
    """Flax's own default: kernel from a truncated normal law of variance 1/fan_in, bias zero (LeCun et al. 1998)."""
    transposed = nn.initializers.lecun_normal(in_axis=-1, out_axis=-2)
    return Initialization(nn.initializers.lecun_normal(), transposed, bias=lambda fan_in: nn.initializers.zeros)


def unit_normal() -> Initialization:
    """The law of a table of vectors, of which one is taken at a time: N(0, 1), PyTorch's for embeddings; biases zero.

    Returns:
      The initialization.
    """
    kernel = nn.initializers.normal(1.0)
    return Initialization(kernel, kernel, bias=lambda fan_in: nn.initializers.zeros)


def dcgan() -> Initialization:
    """The DCGAN paper's law: kernels from N(0, 0.02), biases zero (Radford et al. 2016, section 4)."""
    kernel = nn.initializers.normal(0.02)
    return Initialization(kernel, kernel, bias=lambda fan_in: nn.initializers.zeros)
