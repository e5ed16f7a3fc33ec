"""Each map is one convolution of XLA, on every platform, and all of its forms have the same values."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.nn import convolution_kernels as kernels
from jaxgan.nn.bilinear import convolution, transposed_convolution, weight_gradient
from tests.nn.cases import CHAPTER, ONE_PIXEL, TILES


@pytest.mark.parametrize("platform", ["cpu", "cuda", "tpu"])
@pytest.mark.parametrize("case", CHAPTER, ids=["few channels", "tiles", "more", "one pixel"])
def test_every_map_lowers_to_one_convolution_of_xla(case, platform):
    x, w, y = case.arrays(jnp.float32)

    def count(function, *args):
        lowered = jax.jit(function).trace(*args).lower(lowering_platforms=(platform,))
        return lowered.as_text().count("stablehlo.convolution")

    options = case.options
    assert count(lambda x, w: convolution(x, w, **options), x, w) == 1
    assert count(lambda y, w: transposed_convolution(y, w, **options), y, w) == 1
    assert count(lambda x, y: weight_gradient(x, y, kernel_size=case.geometry.kernel_size, **options), x, y) == 1
    both = jax.grad(lambda x, w: jnp.sum(convolution(x, w, **options) ** 2), (0, 1))
    assert count(both, x, w) == 3


@pytest.mark.parametrize("case", [*CHAPTER[:3], ONE_PIXEL, TILES])
def test_all_forms_of_a_map_have_the_same_values(case):
    x, w, y = case.arrays(jnp.float32)
    to_size = {"geometry": case.geometry, "size": case.size}

    @jax.jit
    def values(x, w, y):
        down = kernels._convolve_directly, kernels._convolve_by_tiles
        up = kernels._transposed_directly, kernels._transposed_by_tiles, kernels._transposed_by_patches
        return [form(case.geometry, x, w) for form in down], [form(y=y, w=w, **to_size) for form in up]

    for expected, *others in values(x, w, y):
        for found in others:
            np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
