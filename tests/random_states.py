"""Small methods of every kind, and states of theirs that hold random numbers."""

import math
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np

from jaxgan.methods import GANState, build
from jaxgan.methods.autoencoder import Autoencoder
from jaxgan.methods.dcgan import DCGAN
from jaxgan.methods.vae import VAE
from jaxgan.methods.vanilla_gan import VanillaGAN
from jaxgan.methods.wgan import WGAN

SHAPE, WIDTH, LATENT = (14, 14, 2), 3, 5
SPECTRAL = DCGAN(width=WIDTH, latent_size=LATENT, bias=True, spectral_norm=True)
CONFIGS = {
    "autoencoder": Autoencoder(encoder="conv", width=WIDTH, latent_size=LATENT),
    "vae": VAE(hidden_units=7, latent_size=LATENT),
    "vanilla_gan": VanillaGAN(hidden_units=7, latent_size=LATENT, ema_decay=0.9),
    "dcgan": DCGAN(width=WIDTH, latent_size=LATENT),
    "dcgan with spectral normalization": SPECTRAL,
    "conditional dcgan": DCGAN(width=WIDTH, latent_size=LATENT, conditional=True),
    "dcgan with other norms": DCGAN(width=WIDTH, generator_norm="instance", discriminator_norm="layer", bias=True),
    "wgan": WGAN(width=WIDTH, latent_size=LATENT),
}


def random_like(tree, *, dtype, seed):
    """Numbers in the place of every leaf: counts stay whole, and what is divided by or rooted stays positive."""
    rng = np.random.default_rng(seed)

    def fill(leaf):
        if not np.issubdtype(leaf.dtype, np.floating):
            return np.array(rng.integers(1, 100), leaf.dtype)
        return (rng.uniform(0.2, 1, leaf.shape) / 3).astype(dtype)

    return jax.tree.map(fill, tree)


def fresh_state(method):
    """A state as at step 0, whose parameters NumPy draws: to compile ``init`` takes longer than most tests."""
    rng = np.random.default_rng(0)

    def first(path, leaf):
        name = jax.tree_util.keystr(path)
        if ".params" in name or name.endswith(("['u']", "['v']")):  # those two are of power iteration
            bound = 1 / math.sqrt(max(10, math.prod(leaf.shape[:-1])))
            return jnp.asarray(rng.uniform(-bound, bound, leaf.shape), leaf.dtype)
        return jnp.full(leaf.shape, name.endswith("['var']"), leaf.dtype)

    state = jax.tree_util.tree_map_with_path(first, jax.eval_shape(method.init, jax.random.key(0)))
    return state.with_variables(*state.variables(averaged=False))  # the average starts from the parameters


def random_state(config, *, dtype=np.float64, seed=0):
    return random_like(shapes(config), dtype=dtype, seed=seed)


@cache
def shapes(config):
    return jax.eval_shape(build(config, image_shape=SHAPE).init, jax.random.key(0))


def networks_of(state):
    return (state.generator, state.discriminator) if isinstance(state, GANState) else (state.network,)


def assert_same(a, b):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        assert x.dtype == y.dtype
        np.testing.assert_array_equal(x, y)
