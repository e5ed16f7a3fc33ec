"""What methods carry from step to step."""

import optax
from flax import struct
from jaxtyping import Array, Int, PyTree


@struct.dataclass
class NetworkState:
    """One network in training: its parameters, its batch statistics and its optimizer's state."""

    params: PyTree
    batch_stats: PyTree
    opt_state: optax.OptState


@struct.dataclass
class AutoencoderState:
    """Everything an autoencoder carries from step to step; encoder and decoder train as one network."""

    step: Int[Array, ""]
    network: NetworkState  # its parameters by name, "encoder" and "decoder"
    averaged: PyTree | None  # exponential moving average of the parameters, None when switched off


@struct.dataclass
class ClassifierState:
    """Everything a classifier carries from step to step."""

    step: Int[Array, ""]
    network: NetworkState


@struct.dataclass
class GANState:
    """Everything a GAN carries from step to step, in one pytree; no random key, since keys follow from the step."""

    step: Int[Array, ""]
    generator: NetworkState
    discriminator: NetworkState
    averaged: PyTree | None  # exponential moving average of the generator's parameters, None when switched off
