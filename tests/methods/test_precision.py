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
    "dcgan": configs.DCGAN(width=4, bias=True),
    "wgan": configs.WGAN(width=4, critic_steps=1),
}
PRODUCT = re.compile(r"stablehlo\.(convolution|dot_general)")


def a_step(config, dtype):
    method = build(dataclasses.replace(config, compute_dtype=dtype), image_shape=SHAPE)
    state, index = method.init(jax.random.key(0)), jnp.arange(BATCH)
    images = jnp.asarray(np.random.default_rng(0).uniform(-1, 1, (BATCH, *SHAPE)), jnp.float32)
    step, args = jax.jit(method.step), (state, Batch(images, index, index), jax.random.key(1))
    return step.lower(*args).as_text(), state, *step(*args)


@pytest.mark.parametrize("kind", METHODS)
def test_products_are_in_bfloat16_while_states_and_losses_stay_in_float32_and_close(kind):
    _, _, _, exact = a_step(METHODS[kind], "float32")
    program, before, after, metrics = a_step(METHODS[kind], "bfloat16")
    assert [x.dtype for x in jax.tree.leaves(before)] == [x.dtype for x in jax.tree.leaves(after)]
    assert all(leaf.dtype in (jnp.float32, jnp.int32) for leaf in jax.tree.leaves((after, metrics)))
    results = [re.findall(r"tensor<[^>]*x(\w+)>", line)[-1] for line in program.splitlines() if PRODUCT.search(line)]
    assert results
    assert set(results) == {"bf16"}
    for name, value in exact.items():
        assert float(metrics[name]) == pytest.approx(float(value), rel=0.03, abs=0.02)
