import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, PartitionSpec

from jaxgan.nn.layers import BatchNorm, Conv, ConvTranspose, ExampleNorm

KEY = jax.random.key(0)


@pytest.mark.parametrize(("layer", "x"), [(Conv(5, (4, 3)), (2, 4, 3, 6)), (ConvTranspose(5, (4, 3)), (2, 1, 1, 6))])
def test_a_kernel_that_covers_the_image_still_convolves(layer, x):
    x = jax.random.normal(KEY, x)
    padded = ((0, 0), (0, 1), (0, 1), (0, 0))  # a row and a column more, which the general way has to be taken for
    variables = layer.init(KEY, x)
    y = layer.apply(variables, x)
    general = layer.apply(variables, jnp.pad(x, padded))[:, : y.shape[1], : y.shape[2]]
    np.testing.assert_allclose(y, general, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["Conv", "ConvTranspose"])
def test_convolutional_layers_have_pytorchs_values_and_initial_weights(name):
    torch = pytest.importorskip("torch")
    layer, twin = {
        "Conv": (Conv(5, (3, 4), (2, 1), (1, 2)), torch.nn.Conv2d(8, 5, (3, 4), (2, 1), (1, 2))),
        "ConvTranspose": (
            ConvTranspose(5, (3, 4), (2, 3), (1, 0), (1, 2)),
            torch.nn.ConvTranspose2d(8, 5, (3, 4), (2, 3), (1, 0), (1, 2)),
        ),
    }[name]
    x = jax.random.normal(KEY, (2, 7, 6, 8))
    params = layer.init(KEY, x)["params"]
    bound = np.abs(twin.weight.detach().numpy()).max()
    assert np.abs(params["kernel"]).max() == pytest.approx(bound, rel=0.02)
    assert np.std(params["kernel"]) == pytest.approx(twin.weight.detach().numpy().std(), rel=0.1)
    assert np.abs(params["bias"]).max() <= bound * 1.02
    twin.weight.data = torch.from_numpy(np.asarray(params["kernel"]).transpose(3, 2, 0, 1).copy())
    twin.bias.data = torch.from_numpy(np.array(params["bias"]))
    theirs = twin(torch.from_numpy(np.asarray(x).transpose(0, 3, 1, 2).copy())).detach().numpy()
    np.testing.assert_allclose(layer.apply({"params": params}, x), theirs.transpose(0, 2, 3, 1), rtol=1e-4, atol=1e-5)


X = 2 * jax.random.normal(KEY, (8, 4, 3, 5)) + jnp.arange(5.0)


def with_params(layer, x=X):
    variables = layer.init(KEY, x, train=True)
    params = {"scale": jnp.arange(1.0, 6.0), "bias": jnp.arange(5.0) - 2}
    return {**variables, "params": params}


def apply_recording(layer, variables, x):
    y, recorded = layer.apply(variables, x, train=True, mutable=["batch_stats"])
    return y, recorded["batch_stats"]


def test_training_normalizes_by_the_statistics_of_the_batch():
    variables = with_params(BatchNorm())
    y, _ = apply_recording(BatchNorm(), variables, X)
    x = np.asarray(X, np.float64)
    mean, var = x.mean(axis=(0, 1, 2)), x.var(axis=(0, 1, 2))
    expected = (x - mean) / np.sqrt(var + 1e-5) * np.arange(1, 6) + np.arange(5) - 2
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-5)


def test_running_statistics_average_mean_and_unbiased_variance():
    _, stats = apply_recording(BatchNorm(), with_params(BatchNorm()), X)
    x = np.asarray(X, np.float64).reshape(-1, 5)
    np.testing.assert_allclose(stats["mean"], 0.1 * x.mean(axis=0), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(stats["var"], 0.9 + 0.1 * x.var(axis=0, ddof=1), rtol=1e-5)


def test_evaluation_mode_uses_the_running_statistics_and_changes_none():
    variables = with_params(BatchNorm())
    variables["batch_stats"] = {"mean": jnp.full(5, 0.5), "var": jnp.full(5, 4.0)}
    y = BatchNorm().apply(variables, X, train=False)
    np.testing.assert_allclose(y, (X - 0.5) / np.sqrt(4 + 1e-5) * jnp.arange(1, 6) + jnp.arange(5) - 2, rtol=1e-4)


def test_a_read_only_pass_normalizes_by_the_batch_too():
    variables = with_params(BatchNorm())
    y = BatchNorm().apply(variables, X, train=True)
    np.testing.assert_array_equal(y, apply_recording(BatchNorm(), variables, X)[0])


@pytest.mark.parametrize(("count", "front_end"), [(8, "pmap"), (2, "shard_map")])
def test_batch_norm_over_devices_has_the_gradients_of_one_device(count, front_end):
    layer, alone = BatchNorm("data"), BatchNorm()
    variables = with_params(alone)
    weights = jax.random.normal(jax.random.key(2), X.shape)

    def loss(layer, variables, x, w):
        y, stats = apply_recording(layer, variables, x)
        return jnp.sum(jnp.sin(y) * w), (y, stats)

    def gradient(layer):
        return lambda x, w: jax.grad(lambda x: loss(layer, variables, x, w), has_aux=True)(x)

    expected, (y, stats) = jax.jit(gradient(alone))(X, weights)
    split = lambda a: a.reshape(count, -1, *a.shape[1:])
    if front_end == "pmap":
        found, (found_y, found_stats) = jax.pmap(gradient(layer), axis_name="data")(split(X), split(weights))
        found_stats = jax.tree.map(lambda s: s[0], found_stats)
    else:
        mesh = jax.make_mesh((count,), ("data",), axis_types=(AxisType.Auto,), devices=jax.devices()[:count])
        spread, everywhere = PartitionSpec("data"), PartitionSpec()
        mapped = jax.shard_map(gradient(layer), mesh=mesh, in_specs=spread, out_specs=(spread, (spread, everywhere)))
        found, (found_y, found_stats) = jax.jit(mapped)(X, weights)
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


IMAGES = jax.random.normal(KEY, (2, 6, 6, 3))
SPECTRAL = Conv(5, (3, 3), spectral_norm=True)


def after(passes):
    variables = jax.jit(SPECTRAL.init)(KEY, IMAGES)
    record = jax.jit(lambda variables: SPECTRAL.apply(variables, IMAGES, mutable=["batch_stats"]))
    for _ in range(passes):
        _, recorded = record(variables)
        variables = {**variables, **recorded}
    return variables


def largest_singular_value(kernel):
    return np.linalg.svd(np.asarray(kernel, np.float64).reshape(-1, kernel.shape[-1]), compute_uv=False)[0]


def test_power_iteration_finds_the_largest_singular_value():
    variables = after(50)
    kernel = variables["params"]["kernel"]
    plain = Conv(5, (3, 3)).apply(
        {"params": {**variables["params"], "kernel": kernel / largest_singular_value(kernel)}}, IMAGES
    )
    np.testing.assert_allclose(SPECTRAL.apply(variables, IMAGES), plain, rtol=1e-4, atol=1e-5)


def test_spectral_norm_is_nearly_1_from_the_start():
    variables = after(0)
    kernel, stats = variables["params"]["kernel"], variables["batch_stats"]
    estimate = stats["v"] @ kernel.reshape(-1, 5) @ stats["u"]
    assert estimate == pytest.approx(largest_singular_value(kernel), rel=0.02)


def test_a_read_only_pass_keeps_the_singular_vectors():
    variables = after(3)
    np.testing.assert_array_equal(SPECTRAL.apply(variables, IMAGES), SPECTRAL.apply(variables, IMAGES))


def test_spectral_norm_and_its_gradient_are_those_of_pytorch():
    torch = pytest.importorskip("torch")
    from torch.nn.utils.parametrizations import spectral_norm

    variables = after(2)
    kernel, stats = variables["params"]["kernel"], variables["batch_stats"]
    with jax.enable_x64(True):
        variables = jax.tree.map(lambda a: jnp.asarray(a, jnp.float64), variables)
        twin = torch.nn.Conv2d(3, 5, 3).double()
        twin.weight.data = torch.from_numpy(np.asarray(kernel, np.float64).transpose(3, 2, 0, 1).copy())
        twin.bias.data = torch.from_numpy(np.array(variables["params"]["bias"]))
        spectral_norm(twin)
        state = twin.parametrizations.weight[0]
        state._u = torch.from_numpy(np.array(stats["u"], np.float64))
        # PyTorch runs over (inputs, height, width), we over (height, width, inputs).
        order = np.arange(27).reshape(3, 3, 3).transpose(2, 0, 1).ravel()
        state._v = torch.from_numpy(np.array(stats["v"], np.float64)[order])
        x = torch.from_numpy(np.asarray(IMAGES, np.float64).transpose(0, 3, 1, 2).copy())
        theirs = twin(x)
        theirs.sin().sum().backward()

        def loss(params):
            y, recorded = SPECTRAL.apply(
                {**variables, "params": params}, jnp.asarray(IMAGES, jnp.float64), mutable=["batch_stats"]
            )
            return jnp.sum(jnp.sin(y)), (y, recorded)

        gradients, (ours, recorded) = jax.jit(jax.grad(loss, has_aux=True))(variables["params"])
    np.testing.assert_allclose(ours, theirs.detach().numpy().transpose(0, 2, 3, 1), rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(recorded["batch_stats"]["u"], state._u, rtol=1e-9)
    expected = twin.parametrizations.weight.original.grad.numpy().transpose(2, 3, 1, 0)
    np.testing.assert_allclose(gradients["kernel"], expected, rtol=1e-8, atol=1e-9)
