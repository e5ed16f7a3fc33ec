"""How the models learn: each method is three pure functions, built here from its config."""

from jaxgan.methods.build import build, networks
from jaxgan.methods.gan import gan
from jaxgan.methods.method import Batch, Method, Metrics
from jaxgan.methods.state import GANState, NetworkState

__all__ = ["Batch", "GANState", "Method", "Metrics", "NetworkState", "build", "gan", "networks"]
