"""Single steps of small methods, for tests of what a step does."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np

from jaxgan.methods import Batch, build
from tests.random_states import fresh_state

KEY = jax.random.key(0)
SHAPE = (6, 5, 1)


def a_batch(size=8, *, labels=None, classes=1, shape=SHAPE):
    """Uniform noise for images; labels are the classes in turn unless given."""
    size = size if labels is None else len(labels)
    images = jax.random.uniform(jax.random.key(5), (size, *shape), minval=-1, maxval=1)
    labels = jnp.arange(size) % classes if labels is None else jnp.array(labels)
    return Batch(images, labels, jnp.arange(size))


@cache
def initial(config, shape=SHAPE, **options):
    """A state of a config's method before its first step."""
    return fresh_state(build(config, image_shape=shape, **options))


@cache
def compiled_step(config, shape=SHAPE, **options):
    """The compiled step of a config's method."""
    return jax.jit(build(config, image_shape=shape, **options).step)


def one_step(config, state=None, *, batch=None, shape=SHAPE, **options):
    """The state before a step, the state after it, and its metrics."""
    state = state or initial(config, shape, **options)
    batch = a_batch(shape=shape) if batch is None else batch
    return state, *compiled_step(config, shape, **options)(state, batch, KEY)


def changed(before, after):
    """Whether each array differs."""
    return [bool(np.any(a != b)) for a, b in zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True)]


def first_update(before, after):
    """The largest change of a parameter: in Adam's first step it is the step size."""
    moves = jax.tree.map(lambda a, b: float(np.max(np.abs(a - b))), before.params, after.params)
    return max(jax.tree.leaves(moves))


def assert_close(found, expected, *, rtol=1e-4, atol=1e-6):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=rtol, atol=atol), found, expected)
