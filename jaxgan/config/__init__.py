"""What a run is: frozen dataclasses that say what is trained, on what, for how long and where.

A :class:`Config` is all that a run depends on. It is what the command line fills in, what ``config.json`` in a workdir
holds, and what :func:`jaxgan.methods.build` makes a method from. The comment beside a field is its help text.
"""

from jaxgan.config.files import changed_fields, from_json, to_json
from jaxgan.config.methods import DCGAN, METHODS, VAE, WGAN, Autoencoder, Classifier, Method, VanillaGAN
from jaxgan.config.run import FREE_FIELDS, Config, Run
from jaxgan.config.validation import validate

__all__ = [
    "DCGAN",
    "FREE_FIELDS",
    "METHODS",
    "VAE",
    "WGAN",
    "Autoencoder",
    "Classifier",
    "Config",
    "Method",
    "Run",
    "VanillaGAN",
    "changed_fields",
    "from_json",
    "to_json",
    "validate",
]
