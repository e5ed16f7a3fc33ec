"""Normalization of activations, with statistics that do not depend on how a batch is spread over devices."""

import jax.numpy as jnp
from flax import linen as nn
from jax import lax
from jaxtyping import Array, Float

from jaxgan.nn.precision import widened

EPSILON = 1e-5  # PyTorch's, for all of them


class BatchNorm(nn.Module):
    """Batch normalization over all examples of the global batch, as ``torch.nn.BatchNorm2d`` on one device.

    In training mode it normalizes with the statistics of the batch, averaged over devices, and records them in the
    collection ``batch_stats`` where the caller made that mutable: which passes are recorded is the caller's choice.

    Attributes:
      axis_name: the mapped axis that the batch is split over; None on one device.
      momentum: the weight of the new statistics in the running ones; PyTorch's convention, Flax's is one minus it.
    """

    axis_name: str | None = None
    momentum: float = 0.1

    @nn.compact
    def __call__(self, x: Float[Array, "*batch channels"], *, train: bool) -> Float[Array, "*batch channels"]:
        """Normalizes each channel, by the batch's statistics in training mode and by the running ones otherwise."""
        x, channels = widened(x), x.shape[-1]
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
    """Normalization of each example by itself, so that no image's gradient depends on another's.

    Attributes:
      over: ``instance`` for statistics of each channel of an image (``torch.nn.InstanceNorm2d(affine=True)``),
        ``layer`` for those of a whole image (``torch.nn.GroupNorm(1, channels)``).
    """

    over: str

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width channels"], *, train: bool = True
    ) -> Float[Array, "batch height width channels"]:
        """Normalizes, then scales and shifts each channel; there is no difference in evaluation mode."""
        x = widened(x)
        scale = self.param("scale", nn.initializers.ones, (x.shape[-1],))
        bias = self.param("bias", nn.initializers.zeros, (x.shape[-1],))
        axes = (1, 2) if self.over == "instance" else (1, 2, 3)
        centred = x - jnp.mean(x, axes, keepdims=True)
        var = jnp.mean(jnp.square(centred), axes, keepdims=True)
        return centred * (scale * lax.rsqrt(var + EPSILON)) + bias
