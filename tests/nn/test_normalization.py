import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, PartitionSpec

from jaxgan.nn.normalization import BatchNorm, ExampleNorm

KEY = jax.random.key(0)
X = 2 * jax.random.normal(KEY, (8, 4, 3, 5)) + jnp.arange(5.0)


def with_params(layer, x=X):
    variables = layer.init(KEY, x, train=True)
    params = {"scale": jnp.arange(1.0, 6.0), "bias": jnp.arange(5.0) - 2}
    return {**variables, "params": params}


def apply_recording(layer, variables, x):
    y, recorded = layer.apply(variables, x, train=True, mutable=["batch_stats"])
    return y, recorded["batch_stats"]


def test_the_batch_is_normalized_by_its_own_statistics():
    variables = with_params(BatchNorm())
    y, _ = apply_recording(BatchNorm(), variables, X)
    x = np.asarray(X, np.float64)
    mean, var = x.mean(axis=(0, 1, 2)), x.var(axis=(0, 1, 2))
    expected = (x - mean) / np.sqrt(var + 1e-5) * np.arange(1, 6) + np.arange(5) - 2
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-5)


def test_running_statistics_move_by_a_tenth_towards_the_mean_and_the_unbiased_variance():
    _, stats = apply_recording(BatchNorm(), with_params(BatchNorm()), X)
    x = np.asarray(X, np.float64).reshape(-1, 5)
    np.testing.assert_allclose(stats["mean"], 0.1 * x.mean(axis=0), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(stats["var"], 0.9 + 0.1 * x.var(axis=0, ddof=1), rtol=1e-5)


def test_evaluation_mode_uses_the_running_statistics_and_changes_none():
    variables = with_params(BatchNorm())
    variables["batch_stats"] = {"mean": jnp.full(5, 0.5), "var": jnp.full(5, 4.0)}
    y = BatchNorm().apply(variables, X, train=False)
    np.testing.assert_allclose(y, (X - 0.5) / np.sqrt(4 + 1e-5) * jnp.arange(1, 6) + jnp.arange(5) - 2, rtol=1e-4)


def test_a_pass_that_may_not_write_leaves_the_statistics_alone_but_uses_the_batch_s():
    variables = with_params(BatchNorm())
    y = BatchNorm().apply(variables, X, train=True)
    np.testing.assert_array_equal(y, apply_recording(BatchNorm(), variables, X)[0])


@pytest.mark.parametrize("count", [2, 8])
@pytest.mark.parametrize("front_end", ["pmap", "shard_map"])
def test_devices_share_statistics_and_gradients_as_one_device_has_them(count, front_end):
    layer, alone = BatchNorm("data"), BatchNorm()
    variables = with_params(alone)
    weights = jax.random.normal(jax.random.key(2), X.shape)

    def loss(layer, variables, x, w):
        y, stats = apply_recording(layer, variables, x)
        return jnp.sum(jnp.sin(y) * w), (y, stats)

    def gradient(layer):
        return lambda x, w: jax.grad(lambda x: loss(layer, variables, x, w), has_aux=True)(x)

    (expected, (y, stats)) = gradient(alone)(X, weights)
    split = lambda a: a.reshape(count, -1, *a.shape[1:])
    if front_end == "pmap":
        found, (found_y, found_stats) = jax.pmap(gradient(layer), axis_name="data")(split(X), split(weights))
        found_stats = jax.tree.map(lambda s: s[0], found_stats)
    else:
        mesh = jax.make_mesh((count,), ("data",), axis_types=(AxisType.Auto,), devices=jax.devices()[:count])
        spread, everywhere = PartitionSpec("data"), PartitionSpec()
        mapped = jax.shard_map(gradient(layer), mesh=mesh, in_specs=spread, out_specs=(spread, (spread, everywhere)))
        found, (found_y, found_stats) = mapped(X, weights)
    np.testing.assert_allclose(np.reshape(found_y, y.shape), y, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(np.reshape(found, X.shape), expected, rtol=1e-3, atol=1e-4)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), found_stats, stats)


@pytest.mark.parametrize(("over", "axes"), [("instance", (1, 2)), ("layer", (1, 2, 3))])
def test_example_norms_use_the_statistics_of_one_image(over, axes):
    layer = ExampleNorm(over)
    y = layer.apply(with_params(layer), X)
    x = np.asarray(X, np.float64)
    normal = (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + 1e-5)
    np.testing.assert_allclose(y, normal * np.arange(1, 6) + np.arange(5) - 2, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(layer.apply(with_params(layer), X[:1]), y[:1], rtol=1e-5, atol=1e-6)


def test_normalizations_are_pytorchs():
    torch = pytest.importorskip("torch")
    x = torch.from_numpy(np.asarray(X, np.float64).transpose(0, 3, 1, 2).copy())
    twins = {
        BatchNorm(): torch.nn.BatchNorm2d(5),
        ExampleNorm("instance"): torch.nn.InstanceNorm2d(5, affine=True),
        ExampleNorm("layer"): torch.nn.GroupNorm(1, 5),
    }
    with jax.enable_x64(True):
        for layer, twin in twins.items():
            twin.double()
            twin.weight.data, twin.bias.data = torch.arange(1.0, 6).double(), torch.arange(5).double() - 2
            variables = jax.tree.map(lambda a: jnp.asarray(a, jnp.float64), with_params(layer))
            y, recorded = layer.apply(variables, jnp.asarray(X, jnp.float64), train=True, mutable=["batch_stats"])
            np.testing.assert_allclose(y, twin(x).detach().numpy().transpose(0, 2, 3, 1), rtol=1e-10, atol=1e-10)
            if recorded:
                np.testing.assert_allclose(recorded["batch_stats"]["mean"], twin.running_mean, rtol=1e-10)
                np.testing.assert_allclose(recorded["batch_stats"]["var"], twin.running_var, rtol=1e-10)
