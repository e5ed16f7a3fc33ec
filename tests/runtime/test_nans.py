"""The first array of a state that is not finite; tests/runs/test_train.py has the first operation."""

import jax.numpy as jnp

from jaxgan.runtime.nans import not_finite


def test_the_first_array_that_is_not_finite_is_named():
    good = {"a": jnp.ones(3), "step": jnp.zeros((), jnp.int32), "b": {"c": jnp.zeros((2, 2))}}
    assert not_finite(good) is None
    for bad in (jnp.nan, jnp.inf):
        assert not_finite({**good, "b": {"c": jnp.array([[0, bad], [0, 0]])}}) == "b/c"
