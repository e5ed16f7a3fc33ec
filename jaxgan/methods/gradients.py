"""Gradients of a loss over the whole batch, wherever its parts lie."""

from collections.abc import Callable
from typing import Any

import jax
from jax import lax
from jaxtyping import Array, Float, PyTree


def value_and_mean_grad(
    loss: Callable[[PyTree], tuple[Float[Array, ""], Any]], params: PyTree, *, axis_name: str | None
) -> tuple[tuple[Float[Array, ""], Any], PyTree]:
    """Differentiates a loss that is a mean over the examples, and averages over the devices that share the batch.

    Under ``shard_map`` the gradient with respect to parameters that JAX knows to be the same on every device is summed
    over devices by the transpose of their broadcast; averaging it then would leave it N times too large. Marking the
    parameters as varying first makes it local, and the mean right, under ``shard_map`` and ``pmap`` alike.

    Args:
      loss: from parameters to (mean loss over this device's examples, auxiliary scalars averaged alike).
      params: the parameters, equal on every device.
      axis_name: the mapped axis that the batch is split over, into equal parts; None on one device.

    Returns:
      ((loss, auxiliary), gradients), all means over the global batch and equal on every device.
    """
    if axis_name is None:
        return jax.value_and_grad(loss, has_aux=True)(params)
    return lax.pmean(jax.value_and_grad(loss, has_aux=True)(lax.pcast(params, axis_name, to="varying")), axis_name)
