"""Spectral normalization: a layer divided by the most it can stretch its input."""

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax
from jaxtyping import Array, Float

EPSILON = 1e-12  # PyTorch's, against a division by zero
FIRST_STEPS = 15  # of power iteration at the start; PyTorch's, and so is the one step after that


def spectrally_normalized(layer: nn.Module, kernel: Float[Array, "*inputs outputs"]) -> Float[Array, "*inputs outputs"]:
    """Divides a layer's kernel, as a matrix from inputs to outputs, by its largest singular value.

    The value comes from power iteration, one step for each pass that may write the collection ``batch_stats``, in which
    the layer keeps its estimates of both singular vectors; other passes use those. No gradient flows through them, but
    one does through the value, as in ``torch.nn.utils.parametrizations.spectral_norm``.

    Args:
      layer: the bound module that the kernel belongs to.
      kernel: its kernel, outputs last.

    Returns:
      The kernel, divided.

    References:
      Miyato et al., Spectral Normalization for Generative Adversarial Networks, 2018, algorithm 1.
    """
    matrix = kernel.reshape(-1, kernel.shape[-1])

    def start(count: int) -> Array:
        # Any direction that is not orthogonal to the singular vector will do; params' key is the one there is.
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
    return vector / jnp.maximum(jnp.linalg.norm(vector), EPSILON)
