import dataclasses
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.methods import Batch, build
from jaxgan.methods.autoencoder import Autoencoder
from jaxgan.methods.dcgan import DCGAN
from jaxgan.methods.vae import VAE
from jaxgan.methods.vanilla_gan import VanillaGAN
from jaxgan.methods.wgan import WGAN

SHAPE, BATCH = (8, 8, 1), 8
METHODS = {
    "autoencoder": Autoencoder(encoder="conv", width=4),
    "vae": VAE(hidden_units=16),
    "vanilla_gan": VanillaGAN(hidden_units=16),
    "dcgan": DCGAN(width=4, bias=True, conditional=True),
    "wgan": WGAN(width=4, critic_steps=1),
}
PRODUCT = re.compile(r"stablehlo\.(convolution|dot_general)")


def a_step(config, dtype):
    """The step of a method, and how to make its state, with the rest of what it is given."""
    method = build(dataclasses.replace(config, compute_dtype=dtype), image_shape=SHAPE)
    images = jnp.asarray(np.random.default_rng(0).uniform(-1, 1, (BATCH, *SHAPE)), jnp.float32)
    index = jnp.arange(BATCH)
    return jax.jit(method.step), jax.jit(method.init), (Batch(images, index, index), jax.random.key(1))


@pytest.mark.parametrize("kind", METHODS)
def test_products_are_in_bfloat16_and_all_else_in_float32(kind):
    step, init, given = a_step(METHODS[kind], "bfloat16")
    before = jax.eval_shape(init, jax.random.key(0))
    lines = [line for line in step.lower(before, *given).as_text().splitlines() if PRODUCT.search(line)]
    assert {re.findall(r"tensor<[^>]*x(\w+)>", line)[-1] for line in lines} == {"bf16"}
    after, metrics = jax.eval_shape(step, before, *given)
    assert [x.dtype for x in jax.tree.leaves(after)] == [x.dtype for x in jax.tree.leaves(before)]
    assert all(x.dtype in (jnp.float32, jnp.int32) for x in jax.tree.leaves((after, metrics)))


@pytest.mark.exhaustive
@pytest.mark.parametrize("kind", ["vae", "wgan"])
def test_losses_in_bfloat16_are_close_to_those_in_float32(kind):
    exact, close = (
        step(init(jax.random.key(0)), *given)[1]
        for step, init, given in (a_step(METHODS[kind], dtype) for dtype in ("float32", "bfloat16"))
    )
    for name, value in exact.items():
        assert float(close[name]) == pytest.approx(float(value), rel=0.03, abs=0.02)
