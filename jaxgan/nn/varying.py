"""Agreement on which arrays differ between devices, for operations with gradients of their own."""

import jax
from jax import lax
from jaxtyping import ArrayLike


def vary_alike(*arrays: ArrayLike) -> tuple[ArrayLike, ...]:
    """Marks arrays as varying over every mapped axis that one of them varies over.

    Under ``shard_map`` JAX tracks this in the types and does it by itself for its own operations; the two sides of a
    custom gradient have to agree on it beforehand.

    Args:
      *arrays: the arguments of such an operation.

    Returns:
      The same values, of types that agree.
    """
    varying = [jax.typeof(a).manual_axis_type.varying for a in arrays]
    missing = [tuple(frozenset().union(*varying) - axes) for axes in varying]
    return tuple(lax.pcast(a, axes, to="varying") if axes else a for a, axes in zip(arrays, missing, strict=True))
