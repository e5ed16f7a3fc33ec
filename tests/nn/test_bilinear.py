"""The three maps against XLA's own derivatives, in float64, over random geometries; and the matrix product."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from jax import lax
from jax.sharding import AxisType, Mesh
from jax.sharding import PartitionSpec as P
from jax.test_util import check_grads

from jaxgan.nn.bilinear import convolution, matmul, transposed_convolution, weight_gradient
from jaxgan.nn.convolution_kernels import LAYOUT, Geometry
from tests.nn.cases import CHAPTER, ONE_PIXEL, TILES, Case


@st.composite
def cases(draw):
    def pair(low, high):
        return draw(st.tuples(st.integers(low, high), st.integers(low, high)))

    kernel, strides = pair(1, 5), pair(1, 3)
    padding = tuple(draw(st.integers(0, k)) for k in kernel)  # up to beyond "full"
    size = tuple(draw(st.integers(max(1, k - 2 * p), 9)) for k, p in zip(kernel, padding, strict=True))
    return Case(Geometry(kernel, strides, padding), size, pair(1, 5), draw(st.integers(1, 3)))  # few channels and more


def plain(x, w, case):
    padding = [(p, p) for p in case.geometry.padding]
    return lax.conv_general_dilated(x, w, case.geometry.strides, padding, dimension_numbers=LAYOUT)


def close(found, expected, tolerance=1e-10):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance), found, expected)


@given(cases())
@example(ONE_PIXEL)
@example(TILES)
@settings(max_examples=10)
def test_the_three_maps_are_adjoint(case):
    with jax.enable_x64(True):
        options, surplus = case.options, case.geometry.surplus(case.size)

        @jax.jit
        def products(x, w, y):
            forward = jnp.vdot(convolution(x, w, **options), y)
            backward = jnp.vdot(x, transposed_convolution(y, w, output_padding=surplus, **options))
            sideways = jnp.vdot(w, weight_gradient(x, y, kernel_size=case.geometry.kernel_size, **options))
            return forward, backward, sideways

        forward, *others = products(*case.arrays())
        close(others, [forward, forward])


@given(cases())
@example(ONE_PIXEL)
@example(TILES)
@settings(max_examples=4)
def test_values_and_derivatives_to_second_order_are_those_of_xla(case):
    with jax.enable_x64(True):
        x, w, y = case.arrays()

        def loss(conv, x, w):
            return jnp.sum(jnp.sin(conv(x, w)) * y)

        def penalty(conv, x, w):
            return jnp.sum(jax.grad(loss, 1)(conv, x, w) ** 2) + jnp.sum(jax.grad(loss, 2)(conv, x, w) ** 3)

        ours, theirs = (lambda x, w: convolution(x, w, **case.options)), (lambda x, w: plain(x, w, case))
        for function in (loss, penalty):
            both = jax.jit(lambda x, w, f=function: [jax.value_and_grad(f, (1, 2))(c, x, w) for c in (ours, theirs)])
            found, expected = both(x, w)
            found, expected = jax.device_get((found, expected))
            scale = max(float(np.abs(leaf).max()) for leaf in jax.tree.leaves(expected)) + 1
            close(jax.tree.map(lambda a, s=scale: a / s, found), jax.tree.map(lambda a, s=scale: a / s, expected))


@given(cases())
@example(ONE_PIXEL)
@example(TILES)
@settings(max_examples=4)
def test_transposed_derivatives_to_second_order_are_those_of_xla(case):
    with jax.enable_x64(True):
        x, w, y = case.arrays()

        def ours(y, w):
            return transposed_convolution(y, w, output_padding=case.geometry.surplus(case.size), **case.options)

        def theirs(y, w):
            return jax.linear_transpose(lambda x: plain(x, w, case), x)(y)[0]

        assert jax.eval_shape(ours, y, w).shape == x.shape
        loss = lambda t: lambda y, w: jnp.sum(jnp.sin(t(y, w)))
        norm = lambda t: lambda y, w: jnp.sum(jax.grad(loss(t))(y, w) ** 2)
        for function, tolerance in ((loss, 1e-10), (norm, 1e-9)):
            both = jax.jit(lambda y, w, f=function: [jax.value_and_grad(f(t), (0, 1))(y, w) for t in (ours, theirs)])
            close(*both(y, w), tolerance)


@given(cases(), st.tuples(st.integers(0, 2), st.integers(0, 2)))
@settings(max_examples=5)
def test_both_directions_are_those_of_pytorch(case, extra):
    torch = pytest.importorskip("torch")
    extra = tuple(min(e, s - 1) for e, s in zip(extra, case.geometry.strides, strict=True))
    with jax.enable_x64(True):
        x, w, y = case.arrays()
        nchw = lambda a: torch.from_numpy(np.array(a).transpose(0, 3, 1, 2).copy())
        kernel = torch.from_numpy(np.array(w).transpose(3, 2, 0, 1).copy())
        functional, options = torch.nn.functional, {"stride": case.geometry.strides, "padding": case.geometry.padding}
        down = functional.conv2d(nchw(x), kernel, **options).numpy().transpose(0, 2, 3, 1)
        close(jax.jit(partial(convolution, **case.options))(x, w), down)
        if min(case.geometry.up(y.shape[1:3], extra)) > 0:
            up = functional.conv_transpose2d(nchw(y), kernel, output_padding=extra, **options).numpy()
            ours = jax.jit(partial(transposed_convolution, output_padding=extra, **case.options))(y, w)
            close(ours, up.transpose(0, 2, 3, 1))


def test_gradients_agree_under_jit_scan_vmap_pmap_and_shard_map():
    case = CHAPTER[2]
    case = case._replace(batch=8)
    x, w, _ = case.arrays(jnp.float32)

    def gradient(x, w):
        return jax.grad(lambda w: jnp.sum(jnp.tanh(convolution(x, w, **case.options)) ** 2))(w)

    expected = jax.jit(gradient)(x, w)
    near = {"rtol": 1e-4, "atol": 1e-4}
    np.testing.assert_allclose(lax.scan(lambda c, x: (c + gradient(x[None], w), None), 0 * w, x)[0], expected, **near)
    np.testing.assert_allclose(jax.jit(jax.vmap(gradient, (0, None)))(x[:, None], w).sum(0), expected, **near)
    summed = lambda x, w: lax.psum(gradient(x, w), "data")
    mapped = jax.pmap(summed, axis_name="data", in_axes=(0, None), out_axes=None)
    np.testing.assert_allclose(mapped(x[:, None], w), expected, **near)
    mesh = Mesh(np.array(jax.devices()), ("data",), axis_types=(AxisType.Auto,))
    sharded = jax.shard_map(gradient, mesh=mesh, in_specs=(P("data"), P()), out_specs=P())
    np.testing.assert_allclose(jax.jit(sharded)(x, w), expected, **near)  # the sum over devices is shard_map's own


def test_bfloat16_stays_bfloat16_in_values_and_gradients():
    case = CHAPTER[1]
    x, w, _ = case.arrays(jnp.bfloat16)
    total = lambda x, w: jnp.sum(convolution(x, w, **case.options))
    value, gradients = jax.jit(jax.value_and_grad(total, (0, 1)))(x, w)
    assert {a.dtype for a in (value, *gradients)} == {jnp.dtype("bfloat16")}
    exact = jax.jit(jax.grad(total, 1))(x.astype(jnp.float32), w.astype(jnp.float32))
    np.testing.assert_allclose(gradients[1].astype(jnp.float32), exact, rtol=0.02, atol=0.5)


def test_an_output_padding_not_below_the_stride_is_refused():
    y, w = jnp.zeros((1, 3, 3, 2)), jnp.zeros((3, 3, 4, 2))
    with pytest.raises(ValueError, match="output_padding"):
        transposed_convolution(y, w, strides=(2, 2), output_padding=(0, 2))


@pytest.fixture
def factors():
    rng = np.random.default_rng(0)
    return jnp.asarray(rng.normal(size=(8, 5)), jnp.float32), jnp.asarray(rng.normal(size=(5, 3)), jnp.float32)


def loss(product):
    return lambda x, w: jnp.sum(jnp.tanh(product(x, w)) ** 2)


def test_matmul_has_value_and_gradients_of_the_plain_product(factors):
    expected = jax.value_and_grad(loss(jnp.matmul), (0, 1))(*factors)
    for transform in (lambda f: f, jax.jit):
        found = transform(jax.value_and_grad(loss(matmul), (0, 1)))(*factors)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), found, expected)


def test_matmul_has_exact_second_order_gradients(factors):
    def penalty(product, w, x):
        return jnp.sum(jax.grad(loss(product))(x, w) ** 2)

    expected = jax.grad(penalty, 1)(jnp.matmul, factors[1], factors[0])
    np.testing.assert_allclose(jax.grad(penalty, 1)(matmul, factors[1], factors[0]), expected, rtol=1e-4, atol=1e-4)
    check_grads(lambda x, w: loss(matmul)(jnp.asarray(x), jnp.asarray(w)), factors, order=2, modes=["rev"], rtol=0.02)


def test_matmul_maps_over_a_batch_of_matrices(factors):
    x, w = factors
    xs = jnp.stack([x, 2 * x])
    np.testing.assert_allclose(jax.vmap(matmul, (0, None))(xs, w), xs @ w, rtol=1e-6)


def test_shard_map_sums_matmul_gradients_of_a_replicated_kernel(factors):
    x, w = factors
    mesh = Mesh(np.array(jax.devices()), ("data",), axis_types=(AxisType.Auto,))

    def gradient(product):
        spread = jax.shard_map(
            lambda x, w: jax.grad(loss(product), 1)(x, w), mesh=mesh, in_specs=(P("data"), P()), out_specs=P()
        )
        return jax.jit(spread)(x, w)

    np.testing.assert_allclose(gradient(matmul), gradient(jnp.matmul), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(gradient(matmul), jax.grad(loss(jnp.matmul), 1)(x, w), rtol=1e-5, atol=1e-6)
