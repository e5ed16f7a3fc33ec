"""Gradients of a loss over the whole batch, wherever its parts lie."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, PyTree


def value_and_mean_grad(
    loss: Callable[[PyTree, PyTree], tuple[Float[Array, ""], Any]],
    params: PyTree,
    examples: PyTree,
    *,
    axis_name: str | None,
    accumulate: int = 1,
) -> tuple[tuple[Float[Array, ""], Any], PyTree]:
    """Differentiates a loss that is a mean over the examples, and averages over the devices that share the batch.

    Under ``shard_map`` the gradient with respect to parameters that JAX knows to be the same on every device is summed
    over devices by the transpose of their broadcast; averaging it then would leave it N times too large. Marking the
    parameters as varying first makes it local, and the mean right, under ``shard_map`` and ``pmap`` alike.

    Args:
      loss: from (parameters, examples) to (mean loss over these examples, auxiliary numbers averaged alike).
      params: the parameters, equal on every device.
      examples: this device's, arrays with one row for each.
      axis_name: the mapped axis that the batch is split over, into equal parts; None on one device.
      accumulate: equal parts that the examples are split into, one after the other, so that no more than one takes
        memory for its gradient.

    Returns:
      ((loss, auxiliary), gradients), all means over the global batch and equal on every device.
    """
    if axis_name is not None:
        params = lax.pcast(params, axis_name, to="varying")
    value_and_grad = jax.value_and_grad(loss, has_aux=True)
    if accumulate == 1:
        found = value_and_grad(params, examples)
    else:
        parts = jax.tree.map(lambda x: x.reshape(accumulate, len(x) // accumulate, *x.shape[1:]), examples)
        shapes = jax.eval_shape(value_and_grad, params, jax.tree.map(lambda x: x[0], parts))
        zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
        if axis_name is not None:
            zeros = lax.pcast(zeros, axis_name, to="varying")
        sums, _ = lax.scan(lambda sums, p: (jax.tree.map(jnp.add, sums, value_and_grad(params, p)), None), zeros, parts)
        found = jax.tree.map(lambda x: x / accumulate, sums)
    return found if axis_name is None else lax.pmean(found, axis_name)
