"""How the models learn: each method is three pure functions, built here from its config."""

from jaxgan.methods.build import build, networks
from jaxgan.methods.gan import GANState, NetworkState, gan
from jaxgan.methods.method import Batch, Method, Metrics

__all__ = ["Batch", "GANState", "Method", "Metrics", "NetworkState", "build", "gan", "networks"]
