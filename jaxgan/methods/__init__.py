"""The methods: each is one file with its config, its networks and its ``build``.

To add a method, write such a file and add it to :data:`METHODS`. No code above this package depends on the method.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import optax

from jaxgan.errors import UserError
from jaxgan.fields import check_all
from jaxgan.methods import autoencoder, classifier, dcgan, flow_matching, own, residual_gan, vae, vanilla_gan, wgan
from jaxgan.methods.checks import check_arguments, checked
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
      The method's functions. Tracing ``step`` or ``evaluate`` checks the batch.

    Raises:
      UserError: if the config does not fit the images, or the method does not fit the config.
    """
    check_arguments(image_shape=image_shape, classes=classes, accumulate=accumulate, optimizer=optimizer)
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
    return checked(built, image_shape=image_shape, axis_name=axis_name, accumulate=accumulate)
