"""jaxgan: the textbook chapter on generative models, as pure functions in JAX and Flax.

A method is three pure functions, ``init``, ``step`` and ``sample``; a run is a fold of them over data::

    import jax, jaxgan

    config = jaxgan.Config(method=jaxgan.VanillaGAN(), run=jaxgan.Run(workdir="runs/mine", epochs=3))
    jaxgan.run(config)                                                   # train as the experiments do
    method = jaxgan.build(config.method, image_shape=(28, 28, 1))       # or take the functions themselves
    state = method.init(jax.random.key(0))
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jaxgan.config import DCGAN, VAE, WGAN, Autoencoder, Classifier, Config, Run, VanillaGAN
    from jaxgan.data import Dataset, load
    from jaxgan.errors import UserError
    from jaxgan.methods import AutoencoderState, Batch, ClassifierState, GANState, Method, NetworkState, build
    from jaxgan.methods.autoencoder import autoencoder
    from jaxgan.methods.gan import gan
    from jaxgan.methods.vae import vae
    from jaxgan.runtime.launch import run

__version__ = "0.1.0"

# Each name with its home. They are imported when first used: the data tools need no JAX, and JAX takes a second.
_HOMES = {
    "Autoencoder": "jaxgan.config",
    "AutoencoderState": "jaxgan.methods",
    "Batch": "jaxgan.methods",
    "Classifier": "jaxgan.config",
    "ClassifierState": "jaxgan.methods",
    "Config": "jaxgan.config",
    "DCGAN": "jaxgan.config",
    "Dataset": "jaxgan.data",
    "GANState": "jaxgan.methods",
    "Method": "jaxgan.methods",
    "NetworkState": "jaxgan.methods",
    "Run": "jaxgan.config",
    "UserError": "jaxgan.errors",
    "VAE": "jaxgan.config",
    "VanillaGAN": "jaxgan.config",
    "WGAN": "jaxgan.config",
    "autoencoder": "jaxgan.methods.autoencoder",
    "build": "jaxgan.methods",
    "gan": "jaxgan.methods.gan",
    "load": "jaxgan.data",
    "run": "jaxgan.runtime.launch",
    "vae": "jaxgan.methods.vae",
}

__all__ = [
    "DCGAN",
    "VAE",
    "WGAN",
    "Autoencoder",
    "AutoencoderState",
    "Batch",
    "Classifier",
    "ClassifierState",
    "Config",
    "Dataset",
    "GANState",
    "Method",
    "NetworkState",
    "Run",
    "UserError",
    "VanillaGAN",
    "autoencoder",
    "build",
    "gan",
    "load",
    "run",
    "vae",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return [*globals(), *_HOMES]
