"""Checks the arguments of a method's functions, which JAX would otherwise broadcast, cast or refuse deep inside."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxgan.errors import UserError
from jaxgan.fields import check, number
from jaxgan.methods.method import Batch, Method, Metrics


def check_arguments(*, image_shape: Any, classes: Any, accumulate: Any, optimizer: Any) -> None:
    """Checks the arguments of :func:`jaxgan.methods.build`.

    Raises:
      UserError: naming the argument.
    """
    sides = image_shape if isinstance(image_shape, Sequence) else ()
    if len(sides) != 3 or not all(isinstance(side, int | np.integer) and side >= 1 for side in sides):
        raise UserError(f"image_shape=: {image_shape!r} is not allowed, it must be height, width and channels")
    check("classes=", classes, int, {})
    check("accumulate=", accumulate, int, number(1).metadata)
    if optimizer is not None and not hasattr(optimizer, "update"):
        raise UserError(f"optimizer=: {optimizer!r} is not allowed, it must be an optax optimizer")


def checked(method: Method, *, image_shape: tuple[int, int, int], axis_name: str | None, accumulate: int) -> Method:
    """Makes ``step`` and ``evaluate`` check their batch; under jit they do so only while JAX traces them."""

    def step(state: Any, batch: Batch, key: jax.Array) -> tuple[Any, Metrics]:
        require_batch(batch, image_shape)
        if len(batch.images) % accumulate:
            raise UserError(f"accumulate=: {accumulate} is not allowed, it must divide {len(batch.images)} images")
        if axis_name is not None:
            try:
                lax.axis_size(axis_name)
            except NameError as error:
                way_out = "call step inside pmap or shard_map over it, or build the method without"
                raise UserError(f"axis_name=: {axis_name!r} is not a mapped axis here; {way_out}") from error
        return method.step(state, batch, key)

    def evaluate(state: Any, batch: Batch, key: jax.Array) -> Metrics:
        assert method.evaluate is not None
        require_batch(batch, image_shape)
        return method.evaluate(state, batch, key)

    return method._replace(step=step, evaluate=method.evaluate and evaluate)


def require_batch(batch: Batch, image_shape: tuple[int, int, int]) -> None:
    """Checks the shapes and dtypes of a batch; values are not known while JAX traces.

    Raises:
      UserError: if images are not floats of this shape, or there is not one integer label and index for each.
    """
    if not isinstance(batch, Batch):
        raise UserError(f"batch: {type(batch).__name__} is not allowed, it must be Batch(images, labels, index)")
    shape, dtype = np.shape(batch.images), jnp.result_type(batch.images)
    count = shape[0] if shape[1:] == tuple(image_shape) and jnp.issubdtype(dtype, jnp.floating) else 0
    if not count:
        given = f"{dtype} of shape {shape}"
        needed = f"floats in [-1, 1] of shape (n, {', '.join(map(str, image_shape))}), such as bytes / 127.5 - 1"
        raise UserError(f"batch: its images are {given}, they must be {needed}")
    for name in ("labels", "index"):
        numbers = getattr(batch, name)
        if np.shape(numbers) != (count,) or not jnp.issubdtype(jnp.result_type(numbers), jnp.integer):
            raise UserError(f"batch: its {name} must be {count} integers, one for each image")
