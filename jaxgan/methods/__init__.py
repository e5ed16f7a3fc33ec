"""The methods: each is one file with its config, its networks and its ``build``.

To add a method, write such a file and add it to :data:`METHODS`. No code above this package depends on the method.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax

from jaxgan.errors import UserError
from jaxgan.fields import check, check_all, number
from jaxgan.methods import autoencoder, classifier, dcgan, flow_matching, own, residual_gan, vae, vanilla_gan, wgan
from jaxgan.methods.method import Batch, GANState, Method, MethodConfig, Metrics, ModelState, NetworkState
from jaxgan.methods.own import Own, OwnMethod

__all__ = [
    "METHODS",
    "Batch",
    "GANState",
    "Method",
    "MethodConfig",
    "Metrics",
    "ModelState",
    "NetworkState",
    "Own",
    "OwnMethod",
    "build",
    "entries",
    "kind_of",
]


class Entry(NamedTuple):
    """A registered method."""

    config: type[MethodConfig]  # a frozen dataclass
    build: Callable[..., Method]  # see :func:`build`


# By kind, the name of the method in config.json.
METHODS: dict[str, Entry] = {
    "autoencoder": Entry(autoencoder.Autoencoder, autoencoder.build),
    "vae": Entry(vae.VAE, vae.build),
    "vanilla_gan": Entry(vanilla_gan.VanillaGAN, vanilla_gan.build),
    "dcgan": Entry(dcgan.DCGAN, dcgan.build),
    "wgan": Entry(wgan.WGAN, wgan.build),
    "residual_gan": Entry(residual_gan.ResidualGAN, residual_gan.build),
    "flow_matching": Entry(flow_matching.FlowMatching, flow_matching.build),
    "digit_classifier": Entry(classifier.Classifier, classifier.build),
}


def entries() -> dict[str, Entry]:
    """Returns all kinds of methods that a run can have: the registered ones, and ``own`` for those defined in code."""
    return {**METHODS, "own": Entry(Own, own.build)}


def kind_of(config: MethodConfig) -> str:
    """Returns the kind of a config, as in :func:`entries`; raises UserError if it is not an instance of any."""
    for kind, entry in entries().items():
        if type(config) is entry.config:
            return kind
        if config in (kind, entry.config):
            raise UserError(f"method: {config!r} is not allowed, give an instance, {entry.config.__name__}()")
    names = ", ".join(f"{entry.config.__name__}()" for entry in entries().values())
    raise UserError(f"method: {config!r} is not allowed, it must be one of {names}")


def build(
    config: MethodConfig,
    *,
    image_shape: tuple[int, int, int],
    classes: int = 10,
    axis_name: str | None = None,
    accumulate: int = 1,
    optimizer: optax.GradientTransformation | None = None,
    method: OwnMethod | None = None,
) -> Method:
    """Builds a method from its config.

    Args:
      config: an instance of one of the configs in :data:`METHODS`, or :class:`Own`.
      image_shape: height, width and channels of an image.
      classes: number of classes of the images, for methods that use labels.
      axis_name: the mapped axis over which ``step`` splits a batch between devices; None on one device.
      accumulate: number of parts that a device's batch is split into (gradient accumulation), to save memory.
      optimizer: replaces every optimizer that the config describes.
      method: a method defined in code, or a function that builds it from the four arguments before ``optimizer``.

    Returns:
      The method's functions. Tracing ``step`` or ``evaluate`` checks the batch by :func:`require_batch`.

    Raises:
      UserError: if the config does not fit the images, or the method does not fit the config.
    """
    sides = image_shape if isinstance(image_shape, Sequence) else ()
    if len(sides) != 3 or not all(isinstance(side, int | np.integer) and side >= 1 for side in sides):
        raise UserError(f"image_shape=: {image_shape!r} is not allowed, it must be height, width and channels")
    check("classes=", classes, int, {})
    check("accumulate=", accumulate, int, number(1).metadata)
    if optimizer is not None and not hasattr(optimizer, "update"):
        raise UserError(f"optimizer=: {optimizer!r} is not allowed, it must be an optax optimizer")
    kind = kind_of(config)
    check_all(config, but=jax.Array)  # swept fields are arrays
    builder = entries()[kind].build if method is None else partial(own.build, method=method)
    built = builder(
        config,
        image_shape=image_shape,
        classes=classes,
        axis_name=axis_name,
        accumulate=accumulate,
        optimizer=optimizer,
    )

    def step(state: Any, batch: Batch, key: jax.Array) -> tuple[Any, Metrics]:
        require_batch(batch, image_shape)
        if len(batch.images) % accumulate:
            raise UserError(f"accumulate=: {accumulate} is not allowed, it must divide {len(batch.images)} images")
        if axis_name is not None:
            try:
                lax.axis_size(axis_name)
            except NameError as error:
                way_out = "call step inside pmap or shard_map over it, or build the method without"
                raise UserError(f"axis_name=: {axis_name!r} is not a mapped axis here; {way_out}") from error
        return built.step(state, batch, key)

    def evaluate(state: Any, batch: Batch, key: jax.Array) -> Metrics:
        assert built.evaluate is not None
        require_batch(batch, image_shape)
        return built.evaluate(state, batch, key)

    return built._replace(step=step, evaluate=built.evaluate and evaluate)


def require_batch(batch: Batch, image_shape: tuple[int, int, int]) -> None:
    """Checks the shapes and dtypes of a batch; values are not known while JAX traces.

    Raises:
      UserError: if images are not floats of this shape, or there is not one integer label and index for each.
    """
    if not isinstance(batch, Batch):
        raise UserError(f"batch: {type(batch).__name__} is not allowed, it must be Batch(images, labels, index)")
    shape, dtype = np.shape(batch.images), jnp.result_type(batch.images)
    count = shape[0] if shape[1:] == tuple(image_shape) and jnp.issubdtype(dtype, jnp.floating) else 0
    if not count:
        given = f"{dtype} of shape {shape}"
        needed = f"floats in [-1, 1] of shape (n, {', '.join(map(str, image_shape))}), such as bytes / 127.5 - 1"
        raise UserError(f"batch: its images are {given}, they must be {needed}")
    for name in ("labels", "index"):
        numbers = getattr(batch, name)
        if np.shape(numbers) != (count,) or not jnp.issubdtype(jnp.result_type(numbers), jnp.integer):
            raise UserError(f"batch: its {name} must be {count} integers, one for each image")
