"""Metrics of held-out images: those of a method's ``evaluate``, and the likelihood."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxgan.data import Dataset
from jaxgan.methods import Batch, Method
from jaxgan.runtime.numerics import fixed_numerics
from jaxgan.runtime.program import ASSESS_STREAM, held_out_means, stream_key, to_unit_range

LIKELIHOOD_BATCH = 500  # images per batch of the likelihood estimate


def held_out_metrics(method: Method, state: Any, test: Dataset, *, seed: int) -> dict[str, float]:
    """Returns the mean metrics of a method on all test images, and the negative log-likelihood if it has one."""
    metrics = {}
    if method.evaluate:
        means = jax.jit(held_out_means(method))(state, jnp.asarray(test.images), jnp.asarray(test.labels), seed)
        metrics |= {f"test_{name}": float(value) for name, value in means.items()}
    if method.likelihood:
        metrics["test_importance_weighted_nll"] = negative_log_likelihood(method, state, test, seed=seed)
    return metrics


@fixed_numerics()
def negative_log_likelihood(
    method: Method, state: Any, test: Dataset, *, seed: int, samples: int | None = None
) -> float:
    """Estimates the negative log-likelihood of test images, with pixels as in training.

    Args:
      method: a method with a likelihood.
      state: its state.
      test: the images. If the method binarizes, each image is binarized once, by the seed and its index.
      seed: the seed of the binarization and of the latents.
      samples: latents per image; None for the method's default.

    Returns:
      Nats per image; for soft pixels those of a bound, which is not a likelihood.
    """
    assert method.likelihood is not None
    estimate, key = method.likelihood.estimate, stream_key(seed, ASSESS_STREAM)
    samples = method.likelihood.samples if samples is None else samples

    @jax.jit
    def total(state: Any, images: jax.Array, labels: jax.Array, index: jax.Array) -> jax.Array:
        return jnp.sum(estimate(state, Batch(to_unit_range(images), labels, index), key, samples))

    count = len(test.images)
    parts = [np.arange(start, min(start + LIKELIHOOD_BATCH, count)) for start in range(0, count, LIKELIHOOD_BATCH)]
    return -sum(float(total(state, test.images[part], test.labels[part], part)) for part in parts) / count
