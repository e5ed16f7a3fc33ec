import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import AxisType, Mesh
from jax.sharding import PartitionSpec as P

from jaxgan.methods import Batch
from jaxgan.methods.method import Network
from jaxgan.methods.optimization import adam, initialize, joined_mean, minimize, value_and_mean_grad
from jaxgan.nn.mlp import Encoder

SIZES = {"b1": 0.9, "b2": 0.999}, {"b1": 0.5, "b2": 0.9}, {"b1": 0.0, "b2": 0.99}


def course(optimizer, dtype, *, steps=30):
    """The updates of a few steps, and the state after them."""
    rng = np.random.default_rng(0)
    params = {"a": jnp.zeros((3, 4), dtype), "b": jnp.zeros(5, dtype)}
    state, updates, take = optimizer.init(params), [], jax.jit(optimizer.update)
    for _ in range(steps):
        gradients = jax.tree.map(lambda p: jnp.asarray(rng.standard_normal(p.shape), dtype), params)
        update, state = take(gradients, state, params)
        updates.append(update)
    return updates, state


def assert_courses_agree(*optimizers):
    with jax.enable_x64(True):
        ours, theirs = (course(optimizer, jnp.float64) for optimizer in optimizers)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12), ours, theirs)
    assert jax.tree.structure(ours[1]) == jax.tree.structure(theirs[1])


@pytest.mark.parametrize("decays", SIZES)
def test_adam_is_that_of_optax_in_double_precision(decays):
    assert_courses_agree(*(make(0.01, **decays) for make in (adam, optax.adam)))


@pytest.mark.parametrize("decays", SIZES)
def test_adam_in_single_precision_is_within_rounding_of_double(decays):
    with jax.enable_x64(True):
        exact, _ = course(adam(0.01, **decays), jnp.float64)
    ours, _ = course(adam(0.01, **decays), jnp.float32)
    for step, expected in zip(ours, exact, strict=True):
        assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(step))
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-6, atol=1e-8), step, expected)


def test_a_schedule_is_read_at_the_number_of_steps_before():
    assert_courses_agree(*(make(optax.cosine_decay_schedule(0.01, 20)) for make in (adam, optax.adam)))


WEIGHTS = jnp.array([0.5, -1.0, 2.0])
ROWS = jax.random.normal(jax.random.key(0), (8, 3))


def loss(params, rows):
    """A mean over rows, and the same as a metric."""
    value = jnp.mean(jnp.tanh(rows @ params) ** 2)
    return value, {"metric": value}


def over_devices(gradient, front_end):
    """Runs a function of (parameters, rows) on two devices that share the rows."""
    if front_end == "pmap":
        mapped = jax.pmap(gradient, axis_name="data", in_axes=(None, 0), out_axes=None, devices=jax.devices()[:2])
        return mapped(WEIGHTS, ROWS.reshape(2, 4, 3))
    mesh = Mesh(np.array(jax.devices()[:2]), ("data",), axis_types=(AxisType.Auto,))
    return jax.jit(jax.shard_map(gradient, mesh=mesh, in_specs=(P(), P("data")), out_specs=P()))(WEIGHTS, ROWS)


@pytest.mark.parametrize("front_end", ["pmap", "shard_map"])
@pytest.mark.parametrize("accumulate", [1, 2])
def test_mean_gradients_over_devices_are_those_of_the_whole_batch(front_end, accumulate):
    def gradient(params, rows):
        return value_and_mean_grad(loss, params, rows, axis_name="data", accumulate=accumulate)

    expected = jax.jit(jax.value_and_grad(loss, has_aux=True))(WEIGHTS, ROWS)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), over_devices(gradient, front_end), expected)


def test_a_joined_mean_is_one_exchange_of_one_array():
    def means(params, rows):
        return joined_mean({"sum": params + rows.sum(0), "rows": rows, "number": rows[0, 0]}, "data")

    mesh = Mesh(np.array(jax.devices()[:2]), ("data",), axis_types=(AxisType.Auto,))
    program = jax.jit(jax.shard_map(means, mesh=mesh, in_specs=(P(), P("data")), out_specs=P()))
    (exchange,) = re.findall(r" all-reduce\((.*?)\)", program.lower(WEIGHTS, ROWS).compile().as_text())
    assert exchange.count("%") == 1
    halves = ROWS.reshape(2, 4, 3)
    expected = {"sum": WEIGHTS + halves.sum(1).mean(0), "rows": halves.mean(0), "number": halves[:, 0, 0].mean()}
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), program(WEIGHTS, ROWS), expected)


def test_a_minimizing_step_descends_and_averages_the_parameters():
    networks = {"encoder": Network(Encoder(1), (2, 2, 1))}

    def objective(params, batch, key):
        value = jnp.mean(networks["encoder"].module.apply({"params": params["encoder"]}, batch.images) ** 2)
        return value, {"loss": value}

    images = jax.random.normal(jax.random.key(1), (4, 2, 2, 1))
    batch, key, optimizer = Batch(images, jnp.arange(4), jnp.arange(4)), jax.random.key(0), optax.sgd(0.1)
    state = jax.jit(initialize(networks, optimizer, ema_decay=0.75))(key)
    after, metrics = jax.jit(minimize(objective, optimizer, ema_decay=0.75))(state, batch, key)
    value_and_grad = jax.jit(jax.value_and_grad(lambda params: objective(params, batch, key)[0]))
    value, gradients = jax.device_get(value_and_grad(state.network.params))
    state = jax.device_get(state)
    assert metrics["loss"] == pytest.approx(float(value), rel=1e-6)
    assert int(after.step) == 1
    moved = jax.tree.map(lambda p, g: p - 0.1 * g, state.network.params, gradients)
    mean = jax.tree.map(lambda p, q: 0.75 * p + 0.25 * q, state.averaged, moved)
    close = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)
    jax.tree.map(close, (after.network.params, after.averaged), (moved, mean))
