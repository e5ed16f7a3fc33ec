"""How the cost of a DCGAN step grows with batch size and width."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
from studies.speed.programs import EAGER, JAXGAN, RECIPES, operations, programs
from studies.speed.timing import interleaved

from jaxgan.config import Config
from jaxgan.data import Dataset

RECIPE = "dcgan"
PEAK_SIZE = 1024  # rows of the square matrices whose product sets the peak


def sizes(batch_sizes: Sequence[int], widths: Sequence[int]) -> list[tuple[int, int]]:
    """Lists pairs of batch size and width, each once: one varies, the other is the recipe's."""
    config = RECIPES[RECIPE]
    pairs = [(size, config.method.width) for size in batch_sizes]
    return list(dict.fromkeys([*pairs, *((config.run.batch_size, width) for width in widths)]))


def resized(batch_size: int, width: int) -> Config:
    """The recipe at another batch size and width."""
    config = RECIPES[RECIPE]
    return Config(replace(config.method, width=width), replace(config.run, batch_size=batch_size))


def measure(pairs: Sequence[tuple[int, int]], dataset: Dataset, device: jax.Device, **how: Any) -> list[dict[str, Any]]:
    """Times a step of jaxgan and of eager PyTorch at each batch size and width.

    Args:
      pairs: batch sizes and widths.
      dataset: the training images.
      device: where JAX runs.
      **how: ``repeats`` and ``seconds``, as in :func:`interleaved`.

    Returns:
      Per pair: ``batch_size``, ``width``, ``flops`` of a step, and what :func:`interleaved` returns.
    """
    points = []
    for batch_size, width in pairs:
        config = resized(batch_size, width)
        trains, _ = programs(RECIPE, config, dataset, [device], chosen=(JAXGAN, EAGER))
        flops = operations(config.method, image_shape=dataset.images.shape[1:], batch_size=batch_size)
        points.append({"batch_size": batch_size, "width": width, "flops": flops, **interleaved(trains, **how)})
    return points


def peak_gflops(device: jax.Device, **how: Any) -> float:
    """Measures the product of two large float32 matrices, in GFLOP/s; ``how`` as in :func:`interleaved`."""
    x = jax.device_put(jnp.ones((PEAK_SIZE, PEAK_SIZE)), device)
    product = jax.jit(jnp.matmul).lower(x, x).compile()

    def multiply(count: int) -> None:
        for _ in range(count):
            y = product(x, x)
        y.block_until_ready()

    return 2e-9 * PEAK_SIZE**3 * max(interleaved({"product": multiply}, **how)["rates"]["product"])
