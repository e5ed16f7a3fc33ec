import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.nn.convolution_layers import Conv

KEY = jax.random.key(0)
X = jax.random.normal(KEY, (2, 6, 6, 3))
LAYER = Conv(5, (3, 3), spectral_norm=True)


def after(passes):
    variables = LAYER.init(KEY, X)
    for _ in range(passes):
        _, recorded = LAYER.apply(variables, X, mutable=["batch_stats"])
        variables = {**variables, **recorded}
    return variables


def largest_singular_value(kernel):
    return np.linalg.svd(np.asarray(kernel, np.float64).reshape(-1, kernel.shape[-1]), compute_uv=False)[0]


def test_power_iteration_finds_the_largest_singular_value():
    variables = after(50)
    kernel = variables["params"]["kernel"]
    plain = Conv(5, (3, 3)).apply(
        {"params": {**variables["params"], "kernel": kernel / largest_singular_value(kernel)}}, X
    )
    np.testing.assert_allclose(LAYER.apply(variables, X), plain, rtol=1e-4, atol=1e-5)


def test_the_kernel_has_norm_1_from_the_start():
    variables = after(0)
    kernel, stats = variables["params"]["kernel"], variables["batch_stats"]
    estimate = stats["v"] @ kernel.reshape(-1, 5) @ stats["u"]
    assert estimate == pytest.approx(largest_singular_value(kernel), rel=0.02)


def test_a_pass_that_may_not_write_keeps_its_estimate_and_can_be_repeated():
    variables = after(3)
    np.testing.assert_array_equal(LAYER.apply(variables, X), LAYER.apply(variables, X))


def test_kernel_vectors_and_gradient_are_pytorchs():
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
        x = torch.from_numpy(np.asarray(X, np.float64).transpose(0, 3, 1, 2).copy())
        theirs = twin(x)
        theirs.sin().sum().backward()

        def loss(params):
            y, recorded = LAYER.apply(
                {**variables, "params": params}, jnp.asarray(X, jnp.float64), mutable=["batch_stats"]
            )
            return jnp.sum(jnp.sin(y)), (y, recorded)

        gradients, (ours, recorded) = jax.grad(loss, has_aux=True)(variables["params"])
    np.testing.assert_allclose(ours, theirs.detach().numpy().transpose(0, 2, 3, 1), rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(recorded["batch_stats"]["u"], state._u, rtol=1e-9)
    expected = twin.parametrizations.weight.original.grad.numpy().transpose(2, 3, 1, 0)
    np.testing.assert_allclose(gradients["kernel"], expected, rtol=1e-8, atol=1e-9)
