"""How the models learn: each method is three pure functions, built here from its config."""

from jaxgan.methods.factory import build, networks
from jaxgan.methods.method import Batch, Method, Metrics
from jaxgan.methods.state import AutoencoderState, ClassifierState, GANState, NetworkState

__all__ = [
    "AutoencoderState",
    "Batch",
    "ClassifierState",
    "GANState",
    "Method",
    "Metrics",
    "NetworkState",
    "build",
    "networks",
]
