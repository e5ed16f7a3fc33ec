"""The first array of a state that is not finite; tests/runs/test_train.py has the first operation."""

from pathlib import Path

import flax
import jax
import jax.numpy as jnp

from jaxgan.runtime import nans
from jaxgan.runtime.nans import not_finite


def test_the_first_array_that_is_not_finite_is_named():
    good = {"a": jnp.ones(3), "step": jnp.zeros((), jnp.int32), "b": {"c": jnp.zeros((2, 2))}}
    assert not_finite(good) is None
    for bad in (jnp.nan, jnp.inf):
        assert not_finite({**good, "b": {"c": jnp.array([[0, bad], [0, 0]])}}) == "b/c"


def test_places_in_libraries_are_left_out_and_a_package_beside_jax_is_not():
    beside = Path(jax.__file__).parents[1] / "jaxgan" / "methods" / "gan.py"
    inside = [Path(package.__file__).parent / "core.py" for package in (jax, flax)]
    ours = Path(nans.__file__).parents[1] / "nn" / "layers.py"
    lines = [f"{path}:3 (f)" for path in (*inside, ours, beside)]
    assert nans._own_lines("\n".join(lines)) == ["jaxgan/nn/layers.py:3 (f)", f"{beside.as_posix()}:3 (f)"]
