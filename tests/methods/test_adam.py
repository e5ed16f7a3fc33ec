"""The optimizer against optax's in double precision, and against the formula in single precision."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxgan.methods.adam import adam

SIZES = {"b1": 0.9, "b2": 0.999}, {"b1": 0.5, "b2": 0.9}, {"b1": 0.0, "b2": 0.99}


def course(optimizer, dtype, *, steps=30):
    """The updates of a few steps, and the state after them."""
    rng = np.random.default_rng(0)
    params = {"a": jnp.zeros((3, 4), dtype), "b": jnp.zeros(5, dtype)}
    state, updates = optimizer.init(params), []
    for _ in range(steps):
        gradients = jax.tree.map(lambda p: jnp.asarray(rng.standard_normal(p.shape), dtype), params)
        update, state = optimizer.update(gradients, state, params)
        updates.append(update)
    return updates, state


@pytest.mark.parametrize("decays", SIZES)
def test_in_double_precision_it_is_that_of_optax_with_the_same_state(decays):
    with jax.enable_x64(True):
        ours, theirs = (course(make(0.01, **decays), jnp.float64) for make in (adam, optax.adam))
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12), ours, theirs)
        assert jax.tree.structure(ours[1]) == jax.tree.structure(theirs[1])


@pytest.mark.parametrize("decays", SIZES)
def test_in_single_precision_it_stays_within_rounding_of_double_precision(decays):
    with jax.enable_x64(True):
        exact, _ = course(adam(0.01, **decays), jnp.float64)
    ours, _ = course(adam(0.01, **decays), jnp.float32)
    for step, expected in zip(ours, exact, strict=True):
        assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(step))
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-6, atol=1e-8), step, expected)


def test_a_rate_that_changes_is_taken_at_the_number_of_steps_before():
    schedule = optax.cosine_decay_schedule(0.01, 20)
    with jax.enable_x64(True):
        ours, theirs = (course(make(schedule), jnp.float64) for make in (adam, optax.adam))
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12), ours, theirs)
