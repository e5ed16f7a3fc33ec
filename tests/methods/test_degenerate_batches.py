"""One black image is a batch: no variance over examples, pixels or channels, and every number stays finite."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.methods import METHODS, Batch
from tests.tiny import SHAPE, made, tiny


@pytest.mark.slow  # four black images are a batch of every method in the fast tests
@pytest.mark.parametrize("kind", METHODS)
def test_a_black_image_alone_is_trained_on_and_measured(kind):
    method = made(tiny(kind))
    batch = Batch(jnp.full((1, *SHAPE), -1.0), jnp.zeros(1, jnp.int32), jnp.zeros(1, jnp.int32))

    @jax.jit
    def run(key):
        state = method.init(key)
        for i in range(2):
            state, metrics = method.step(state, batch, jax.random.fold_in(key, i))
        return state, metrics, method.evaluate(state, batch, key) if method.evaluate else {}

    for leaf in jax.tree.leaves(jax.device_get(run(jax.random.key(0)))):
        assert np.all(np.isfinite(leaf))
