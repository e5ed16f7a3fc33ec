"""How well a finished run restores images that it was not trained on."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxgan.config import VAE
from jaxgan.data import Dataset
from jaxgan.methods import networks
from jaxgan.methods.descent import trained
from jaxgan.methods.reconstruction import binarize, to_pixels
from jaxgan.methods.vae import importance_weighted_log_likelihood
from jaxgan.nn import noise
from jaxgan.runtime.finished import Finished
from jaxgan.runtime.program import ASSESS_ROLE, held_out_means, role_key, to_unit_range

MEASURED_AT_ONCE = 500
IMPORTANCE_SAMPLES = 50  # latents an image


def measure_held_out(run: Finished, state: Any, test: Dataset, *, seed: int) -> dict[str, float]:
    """Measures how a run's method restores the test images, and how likely it finds them.

    Args:
      run: the run.
      state: its state, with the parameters that are to be measured.
      test: the test images.
      seed: what its random numbers follow from.

    Returns:
      The metrics of the method's ``evaluate``, means over all images, under names that begin with ``test_``; for a VAE
      also ``test_importance_weighted_nll``. Nothing for a method without ``evaluate``.
    """
    if run.method.evaluate is None:
        return {}
    means = jax.jit(held_out_means(run.method))(state, jnp.asarray(test.images), jnp.asarray(test.labels), seed)
    found = {f"test_{name}": float(value) for name, value in means.items()}
    if isinstance(run.config.method, VAE):
        found["test_importance_weighted_nll"] = _importance_weighted_nll(run, state, test, seed=seed)
    return found


def _importance_weighted_nll(run: Finished, state: Any, test: Dataset, *, seed: int) -> float:
    """Nats per image, of pixels as the run was trained on them: soft ones have a bound in place of a likelihood."""
    config, image_shape = run.config.method, test.images.shape[1:]
    modules = {name: module for name, (module, _) in networks(config, image_shape=image_shape).items()}
    keys = jax.random.split(role_key(seed, ASSESS_ROLE))

    @jax.jit
    def total(params: Any, images: jax.Array, index: jax.Array) -> jax.Array:
        scaled = to_unit_range(images)
        words = noise.words(keys[0], index, count=int(np.prod(image_shape)))
        pixels = binarize(scaled, words) if config.targets == "binarized" else to_pixels(scaled)
        return jnp.sum(
            importance_weighted_log_likelihood(
                **modules, params=params, pixels=pixels, index=index, key=keys[1], samples=IMPORTANCE_SAMPLES
            )
        )

    starts = range(0, len(test.images), MEASURED_AT_ONCE)
    index = [jnp.arange(start, min(start + MEASURED_AT_ONCE, len(test.images))) for start in starts]
    return -sum(float(total(trained(state), test.images[i], i)) for i in index) / len(test.images)
