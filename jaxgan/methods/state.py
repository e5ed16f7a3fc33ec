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
class GANState:
    """Everything a GAN carries from step to step, in one pytree; no random key, since keys follow from the step."""

    step: Int[Array, ""]
    generator: NetworkState
    discriminator: NetworkState
    averaged: PyTree | None  # exponential moving average of the generator's parameters, None when switched off
