"""jaxgan: the textbook chapter on generative models, as pure functions in JAX and Flax.

A method is three pure functions, ``init``, ``step`` and ``sample``; a run is a fold of them over data::

    import jax, jaxgan

    config = jaxgan.Config(method=jaxgan.VanillaGAN(), run=jaxgan.Run(workdir="runs/mine", epochs=3))
    jaxgan.run(config)                                                   # train, as the recipes do
    method = jaxgan.build(config.method, image_shape=(28, 28, 1))       # or use the functions directly
    state = method.init(jax.random.key(0))
"""

import importlib
from typing import Any

# Public names by module; the configs of METHODS join them. Imports are lazy: the data commands need no JAX, which takes
# a second to import.
_NAMES = {
    "jaxgan.config": ("Config", "Run"),
    "jaxgan.data": ("Dataset", "load"),
    "jaxgan.errors": ("UserError",),
    "jaxgan.methods": ("METHODS", "Batch", "GANState", "Method", "ModelState", "NetworkState", "Own", "build"),
    "jaxgan.methods.autoencoder": ("autoencoder",),
    "jaxgan.methods.gan": ("gan",),
    "jaxgan.methods.vae": ("vae",),
    "jaxgan.recipes": ("RECIPES",),
    "jaxgan.runs.evaluate": ("evaluate_run",),
    "jaxgan.runs.launch": ("run",),
    "jaxgan.runs.load": ("load_run",),
    "jaxgan.runs.pretrained": ("pretrained",),
}
_MODULES = {name: module for module, names in _NAMES.items() for name in names}

__all__ = sorted(_MODULES)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib import metadata

        try:
            return metadata.version("jaxgan")
        except metadata.PackageNotFoundError:  # a clone on PYTHONPATH, not installed
            return "unknown"
    if name in _MODULES:
        return getattr(importlib.import_module(_MODULES[name]), name)
    if name[0].isupper() and name in (configs := _configs()):  # `from jaxgan import data` calls this first
        return configs[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), *_MODULES, *_configs()]


def _configs() -> dict[str, Any]:
    from jaxgan.methods import METHODS

    return {entry.config.__name__: entry.config for entry in METHODS.values()}
