"""Non-finite numbers: finds the first array that has one, and the operation that produced the first NaN."""

import os
from pathlib import Path

import flax
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.experimental import checkify
from jaxtyping import Array, Bool, PyTree

from jaxgan.methods import Method
from jaxgan.runtime.program import Carry, Inputs, steps

# Their directories, with the separator: jaxgan may be installed beside them, and its name starts with JAX's.
LIBRARIES = tuple(f"{Path(str(package.__file__)).parent}{os.sep}" for package in (jax, flax, optax))


def first_nan(method: Method, carry: Carry, inputs: Inputs, *, batch_size: int) -> str:
    """Repeats a call and names the operation that produced the first NaN.

    Random numbers depend on seed and step only, so the repetition is exact up to rounding. It compiles a much larger
    program, which takes longer.

    Returns:
      A message that names the operation, its source location, and the line of the method that called it.
    """
    run = steps(method, batch_size=batch_size, axis_name=None)
    error, _ = jax.jit(checkify.checkify(run, errors=checkify.nan_checks))(carry, inputs)
    exception = error.get_exception()
    if exception is None:
        return "no operation produced a NaN: a number became infinite"
    lines = _own_lines(str(getattr(exception, "traceback_info", "")))  # JAX promises neither this nor its format
    caller = next((line for line in lines if "/methods/" in line), None)
    parts = [f"the first NaN is a result of {getattr(exception, 'prim', 'an operation')}", *lines[:1]]
    return ", ".join(parts) + (f", for {caller}" if caller and caller != lines[0] else "")


def _own_lines(traceback: str) -> list[str]:
    """Lists the lines of a traceback outside of the libraries, innermost first, with paths from the package on."""
    root = f"{Path(__file__).parents[2]}{os.sep}"
    lines = [line for line in traceback.splitlines() if not line.startswith(LIBRARIES)]
    return [line.removeprefix(root).replace(os.sep, "/") for line in lines]


def not_finite(state: PyTree) -> str | None:
    """Returns the name of the first array in a state with a non-finite number; None if all numbers are finite."""
    leaves = jax.tree_util.tree_leaves_with_path(state)
    floats = [(path, leaf) for path, leaf in leaves if jnp.issubdtype(leaf.dtype, jnp.inexact)]
    finite = np.asarray(_are_finite([leaf for _, leaf in floats]))
    bad = (
        jax.tree_util.keystr(path, simple=True, separator="/")
        for (path, _), ok in zip(floats, finite, strict=True)
        if not ok
    )
    return next(bad, None)


@jax.jit
def _are_finite(leaves: list[Array]) -> Bool[Array, " leaves"]:
    return jnp.stack([jnp.all(jnp.isfinite(leaf)) for leaf in leaves])
