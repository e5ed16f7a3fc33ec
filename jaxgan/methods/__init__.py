"""How the models learn: each method is three pure functions, built here from its config."""

from jaxgan.methods.factory import build, networks
from jaxgan.methods.method import Batch, Method, Metrics
from jaxgan.methods.state import AutoencoderState, GANState, NetworkState

__all__ = ["AutoencoderState", "Batch", "GANState", "Method", "Metrics", "NetworkState", "build", "networks"]
