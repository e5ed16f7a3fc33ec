import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, Mesh
from jax.sharding import PartitionSpec as P
from jax.test_util import check_grads

from jaxgan.nn import initializers
from jaxgan.nn.dense import Dense, matmul


@pytest.fixture
def factors():
    rng = np.random.default_rng(0)
    return jnp.asarray(rng.normal(size=(8, 5)), jnp.float32), jnp.asarray(rng.normal(size=(5, 3)), jnp.float32)


def loss(product):
    return lambda x, w: jnp.sum(jnp.tanh(product(x, w)) ** 2)


def test_value_and_gradients_are_those_of_the_plain_product(factors):
    expected = jax.value_and_grad(loss(jnp.matmul), (0, 1))(*factors)
    for transform in (lambda f: f, jax.jit):
        found = transform(jax.value_and_grad(loss(matmul), (0, 1)))(*factors)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), found, expected)


def test_second_order_gradients_are_exact(factors):
    def penalty(product, w, x):
        return jnp.sum(jax.grad(loss(product))(x, w) ** 2)

    expected = jax.grad(penalty, 1)(jnp.matmul, factors[1], factors[0])
    np.testing.assert_allclose(jax.grad(penalty, 1)(matmul, factors[1], factors[0]), expected, rtol=1e-4, atol=1e-4)
    check_grads(lambda x, w: loss(matmul)(jnp.asarray(x), jnp.asarray(w)), factors, order=2, modes=["rev"], rtol=0.02)


def test_it_maps_over_a_batch_of_matrices(factors):
    x, w = factors
    xs = jnp.stack([x, 2 * x])
    np.testing.assert_allclose(jax.vmap(matmul, (0, None))(xs, w), xs @ w, rtol=1e-6)


def test_shard_map_sums_the_gradient_of_a_replicated_kernel_as_for_any_operation(factors):
    x, w = factors
    mesh = Mesh(np.array(jax.devices()), ("data",), axis_types=(AxisType.Auto,))

    def gradient(product):
        spread = jax.shard_map(
            lambda x, w: jax.grad(loss(product), 1)(x, w), mesh=mesh, in_specs=(P("data"), P()), out_specs=P()
        )
        return jax.jit(spread)(x, w)

    np.testing.assert_allclose(gradient(matmul), gradient(jnp.matmul), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(gradient(matmul), jax.grad(loss(jnp.matmul), 1)(x, w), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("fan_in", [20, 784])
def test_torch_initialization_is_uniform_within_one_over_the_root_of_fan_in(fan_in):
    params = Dense(400).init(jax.random.key(0), jnp.zeros((1, fan_in)))["params"]
    for leaf in (params["kernel"], params["bias"]):
        values = np.asarray(leaf) * np.sqrt(fan_in)
        assert 0.97 < np.abs(values).max() <= 1
        assert values.var() == pytest.approx(1 / 3, rel=0.12)
        assert abs(values.mean()) < 0.1


def test_lecun_initialization_has_variance_one_over_fan_in_and_no_bias():
    params = Dense(400, initialization=initializers.lecun()).init(jax.random.key(0), jnp.zeros((1, 300)))["params"]
    assert np.asarray(params["kernel"]).var() == pytest.approx(1 / 300, rel=0.02)
    assert not np.any(params["bias"])
