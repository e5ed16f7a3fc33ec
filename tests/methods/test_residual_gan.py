import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.errors import UserError
from jaxgan.methods import Batch, build, penalties
from jaxgan.methods.residual_gan import ResidualGAN
from jaxgan.nn.convnets import Discriminator
from jaxgan.nn.resnet import ResidualEncoder, Tower

KEY = jax.random.key(0)


@pytest.mark.exhaustive
def test_the_gradient_of_a_penalty_is_its_slope():
    network = Discriminator(ResidualEncoder(1, Tower(width=2, group_size=2)))
    rng = np.random.default_rng(0)
    images = rng.uniform(-1, 1, (2, 5, 5, 2))
    abstract = jax.eval_shape(network.init, KEY, jnp.zeros(images.shape))
    at, along = (jax.tree.map(lambda x: rng.normal(0, 0.5, x.shape), abstract) for _ in range(2))

    @jax.jit
    def penalty(distance):
        variables, x = jax.tree.map(lambda x, d: x + distance * d, at, along), jnp.asarray(images)
        gradients = penalties.input_gradients(lambda x: network.apply(variables, x, train=True), x)
        return penalties.zero_centred(gradients)

    with jax.enable_x64(True):
        slope = float(penalty(1e-5) - penalty(-1e-5)) / 2e-5
        assert float(jax.jit(jax.grad(penalty))(0.0)) == pytest.approx(slope, rel=1e-6)
    assert abs(slope) > 0.01


@pytest.mark.parametrize(("fields", "near"), [({"width": 12}, 8), ({"width": 16, "max_width": 25, "expansion": 1}, 1)])
def test_groups_that_do_not_divide_the_channels_are_refused(fields, near):
    with pytest.raises(UserError, match=f"--group-size: 16 is not allowed, it must divide the .* such as {near}$"):
        build(ResidualGAN(**fields), image_shape=(8, 8, 1))


def test_classes_are_needed_to_condition_on_them():
    with pytest.raises(UserError, match="--conditional: the images have no classes"):
        build(ResidualGAN(conditional=True), image_shape=(64, 64, 3), classes=1)


@pytest.mark.exhaustive
@pytest.mark.parametrize("platform", ["cuda", "tpu"])
def test_products_of_a_step_on_accelerators_are_in_bfloat16_and_in_groups(platform):
    method = build(ResidualGAN(width=4, max_width=4, group_size=2, compute_dtype="bfloat16"), image_shape=(8, 8, 3))
    state, batch = jax.eval_shape(method.init, KEY), Batch(jnp.zeros((4, 8, 8, 3)), jnp.zeros(4, int), jnp.arange(4))
    text = jax.jit(method.step).trace(state, batch, KEY).lower(lowering_platforms=(platform,)).as_text()
    convolutions = [line for line in text.splitlines() if "stablehlo.convolution" in line]
    assert convolutions
    assert all("feature_group_count = 4 " in line for line in convolutions)
    products = [line for line in text.splitlines() if "stablehlo.dot_general" in line]
    assert all(re.search(r"-> tensor<[0-9x]*bf16>", line) for line in convolutions + products)


@pytest.mark.exhaustive
def test_the_discriminator_learns_to_tell_pictures_in_colour():
    config = ResidualGAN(width=4, max_width=8, generator_learning_rate=0.0, discriminator_learning_rate=2e-3)
    method = build(config, image_shape=(32, 32, 3))
    rng, index = np.random.default_rng(0), jnp.arange(8)
    colours = jnp.asarray(rng.uniform(-1, 1, (30, 8, 1, 1, 3)), jnp.float32)
    ramp = jnp.linspace(-1, 1, 32)[:, None, None]

    def step(state, inputs):
        i, colour = inputs
        pictures = jnp.clip(colour + ramp * jnp.ones((8, 32, 32, 3)), -1, 1)
        return method.step(state, Batch(pictures, jnp.zeros(8, jnp.int32), index), jax.random.fold_in(KEY, i))

    @jax.jit
    def train(key):
        return jax.lax.scan(step, method.init(key), (jnp.arange(len(colours)), colours))

    _, metrics = train(KEY)
    first, last = metrics["discriminator_loss"][0], metrics["discriminator_loss"][-5:].mean()
    assert np.all(np.isfinite(metrics["discriminator_loss"]))
    assert last < 0.8 * first
