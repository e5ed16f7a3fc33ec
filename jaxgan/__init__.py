"""jaxgan: the textbook chapter on generative models, as pure functions in JAX and Flax.

A method is three pure functions, ``init``, ``step`` and ``sample``; a run is a fold of them over data::

    import jax, jaxgan

    config = jaxgan.Config(method=jaxgan.VanillaGAN(), run=jaxgan.Run(workdir="runs/mine", epochs=3))
    jaxgan.run(config)                                                   # train as the experiments do
    method = jaxgan.build(config.method, image_shape=(28, 28, 1))       # or take the functions themselves
    state = method.init(jax.random.key(0))
"""

import importlib
import importlib.metadata
from typing import Any

# Names by the module that defines them. They are imported when first used: the data tools need no JAX, which takes a
# second to import.
_NAMES = {
    "jaxgan.config": ("Config", "Run"),
    "jaxgan.data": ("Dataset", "load"),
    "jaxgan.errors": ("UserError",),
    "jaxgan.methods": ("METHODS", "Batch", "GANState", "Method", "ModelState", "NetworkState", "build"),
    "jaxgan.methods.autoencoder": ("Autoencoder", "autoencoder"),
    "jaxgan.methods.classifier": ("Classifier",),
    "jaxgan.methods.dcgan": ("DCGAN",),
    "jaxgan.methods.gan": ("gan",),
    "jaxgan.methods.vae": ("VAE", "vae"),
    "jaxgan.methods.vanilla_gan": ("VanillaGAN",),
    "jaxgan.methods.wgan": ("WGAN",),
    "jaxgan.runs.checkpoints": ("load_run",),
    "jaxgan.runs.launch": ("run",),
}
_MODULES = {name: module for module, names in _NAMES.items() for name in names}

__all__ = sorted(_MODULES)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return importlib.metadata.version("jaxgan")
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return [*globals(), *_MODULES]
