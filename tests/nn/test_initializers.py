import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from jaxgan.nn import initializers
from jaxgan.nn.layers import ConvTranspose, Dense

KEY = jax.random.key(0)


@pytest.mark.parametrize(
    ("layer", "inputs", "deviation", "tolerance"),
    [
        (Dense(400, initialization=initializers.lecun()), (1, 300), 300**-0.5, 0.01),
        (ConvTranspose(3, (4, 4), (2, 2), initialization=initializers.lecun()), (1, 5, 5, 64), 1 / 32, 0.05),
        (ConvTranspose(32, (4, 4), initialization=initializers.dcgan()), (1, 1, 1, 64), 0.02, 0.02),
    ],
)
def test_other_kernels_have_the_deviation_of_their_paper_and_no_bias(layer, inputs, deviation, tolerance):
    params = layer.init(KEY, jnp.zeros(inputs))["params"]
    assert np.std(params["kernel"]) == pytest.approx(deviation, rel=tolerance)
    assert not np.any(params["bias"])


@pytest.mark.parametrize("shape", [(3, 3, 4, 5), (6, 7)])
def test_kernels_are_those_that_flax_draws_with_four_axes(shape):
    lecun, torch = initializers.lecun(), initializers.torch_default()
    pairs = [
        (lecun.kernel, nn.initializers.lecun_normal()),
        (lecun.transposed_kernel, nn.initializers.lecun_normal(in_axis=-1, out_axis=-2)),
        (torch.kernel, nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")),
        (initializers.dcgan().kernel, nn.initializers.normal(0.02)),
    ]
    for ours, flax in pairs:
        np.testing.assert_array_equal(ours(KEY, shape, jnp.float32), flax(KEY, shape, jnp.float32))
