"""Numbers that are not finite: the first array that has one, and the operation that made the first NaN."""

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

# Their folders, with the separator: this package may lie beside them, and its name begins with JAX's.
LIBRARIES = tuple(f"{Path(str(package.__file__)).parent}{os.sep}" for package in (jax, flax, optax))


def first_nan(method: Method, carry: Carry, inputs: Inputs, *, batch_size: int) -> str:
    """Repeats a call and names the operation whose result is the first NaN.

    Random numbers follow from seed and step, so the repetition is exact but for rounding. It compiles a far larger
    program, which takes its time.

    Returns:
      Words that name the operation, where it stands, and which part of the method asked for it.
    """
    run = steps(method, batch_size=batch_size, axis_name=None)
    error, _ = jax.jit(checkify.checkify(run, errors=checkify.nan_checks))(carry, inputs)
    found = error.get_exception()
    if found is None:
        return "no operation made a NaN: a number became infinite"
    ours = _our_places(str(getattr(found, "traceback_info", "")))  # neither this nor its form is promised by JAX
    asked = next((place for place in ours if "/methods/" in place), None)
    words = [f"the first NaN is a result of {getattr(found, 'prim', 'an operation')}", *ours[:1]]
    return ", ".join(words) + (f", for {asked}" if asked and asked != ours[0] else "")


def _our_places(traceback: str) -> list[str]:
    """The lines of a traceback outside of the libraries, innermost first, from the package's folder on."""
    root = f"{Path(__file__).parents[2]}{os.sep}"
    places = [line for line in traceback.splitlines() if not line.startswith(LIBRARIES)]
    return [place.removeprefix(root).replace(os.sep, "/") for place in places]


def not_finite(state: PyTree) -> str | None:
    """The name of the first array in a state with a number that is not finite; None if there is none."""
    leaves = jax.tree_util.tree_leaves_with_path(state)
    numbers = [(path, leaf) for path, leaf in leaves if jnp.issubdtype(leaf.dtype, jnp.inexact)]
    finite = np.asarray(_are_finite([leaf for _, leaf in numbers]))
    bad = (
        jax.tree_util.keystr(path, simple=True, separator="/")
        for (path, _), ok in zip(numbers, finite, strict=True)
        if not ok
    )
    return next(bad, None)


@jax.jit
def _are_finite(leaves: list[Array]) -> Bool[Array, " leaves"]:
    return jnp.stack([jnp.all(jnp.isfinite(leaf)) for leaf in leaves])
