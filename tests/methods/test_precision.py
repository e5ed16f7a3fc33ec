"""Products in bfloat16: what narrows, and what does not."""

import dataclasses
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan import config as configs
from jaxgan.methods import Batch, build

SHAPE, BATCH = (28, 28, 1), 8
METHODS = {
    "autoencoder": configs.Autoencoder(encoder="conv", width=4),
    "vae": configs.VAE(hidden_units=16),
    "vanilla_gan": configs.VanillaGAN(hidden_units=16),
    "dcgan": configs.DCGAN(width=4, bias=True, conditional=True),
    "wgan": configs.WGAN(width=4, critic_steps=1),
}
PRODUCT = re.compile(r"stablehlo\.(convolution|dot_general)")


def a_step(config, dtype):
    """The step of a method, and what it is given."""
    method = build(dataclasses.replace(config, compute_dtype=dtype), image_shape=SHAPE)
    images = jnp.asarray(np.random.default_rng(0).uniform(-1, 1, (BATCH, *SHAPE)), jnp.float32)
    index = jnp.arange(BATCH)
    return jax.jit(method.step), (method.init(jax.random.key(0)), Batch(images, index, index), jax.random.key(1))


@pytest.mark.parametrize("kind", METHODS)
def test_products_are_in_bfloat16_and_states_and_metrics_stay_in_single_precision(kind):
    step, args = a_step(METHODS[kind], "bfloat16")
    lines = [line for line in step.lower(*args).as_text().splitlines() if PRODUCT.search(line)]
    assert {re.findall(r"tensor<[^>]*x(\w+)>", line)[-1] for line in lines} == {"bf16"}
    state, metrics = jax.eval_shape(step, *args)
    assert [x.dtype for x in jax.tree.leaves(state)] == [x.dtype for x in jax.tree.leaves(args[0])]
    assert all(x.dtype in (jnp.float32, jnp.int32) for x in jax.tree.leaves((state, metrics)))


@pytest.mark.parametrize("kind", ["vae", pytest.param("wgan", marks=pytest.mark.slow)])
def test_losses_in_bfloat16_are_close_to_those_in_single_precision(kind):
    (step, args), (narrow, same) = (a_step(METHODS[kind], dtype) for dtype in ("float32", "bfloat16"))
    exact, close = step(*args)[1], narrow(*same)[1]
    for name, value in exact.items():
        assert float(close[name]) == pytest.approx(float(value), rel=0.03, abs=0.02)
