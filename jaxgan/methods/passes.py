"""How a step of a GAN applies its networks: in training mode, with the batch statistics recorded or not."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.errors import ModifyScopeVariableError
from jaxtyping import Array, Float, Int, PyTree, UInt32

from jaxgan.errors import UserError
from jaxgan.methods.method import Module

Images = Float[Array, "batch height width channels"]
Logits = Float[Array, " batch"]
Labels = tuple[Int[Array, " batch"], ...]  # one array of labels, or none if unconditional
Bits = Mapping[str, UInt32[Array, "batch words"]]  # random words of each example, by what they are for


def dropout_words(discriminator: Module) -> int:
    """The random words that a discriminator takes for each image; 0 without dropout."""
    return getattr(discriminator, "bits_per_example", 0)


def logits_of(
    discriminator: Module, variables: PyTree, images: Images, labels: Labels, bits: UInt32[Array, "batch words"]
) -> Logits:
    """Logits of images, without recording batch statistics."""
    dropout = {"bits": bits} if dropout_words(discriminator) else {}
    return unrecorded(discriminator, variables, images, *labels, **dropout)


def logits_of_pair(
    discriminator: Module, variables: PyTree, real: Images, fake: Images, labels: Labels, bits: Bits
) -> tuple[tuple[Logits, Logits], PyTree]:
    """Logits of a real and a generated batch, and the batch statistics of both passes."""
    names = ("real", "fake") if dropout_words(discriminator) else ()
    dropout = {f"{name}_bits": bits[f"{name}_dropout"] for name in names}
    method = getattr(type(discriminator), "logits_of_pair", _two_passes)
    logits, recorded = discriminator.apply(
        variables, real, fake, *labels, **dropout, method=method, mutable=["batch_stats"]
    )
    for each in logits:
        require_floats("discriminator", "logits", each)
        if each.shape != (len(real),):
            shapes = f"of shape {each.shape} for {len(real)} images, they must be {(len(real),)}, one for each"
            raise UserError(f"discriminator: its logits are {shapes}")
    return logits, recorded


def require_floats(network: str, what: str, values: Any) -> None:
    """Requires that a network returned one array of floats: whole numbers carry no gradient."""
    kind = str(values.dtype) if isinstance(values, jax.Array) else type(values).__name__
    if not isinstance(values, jax.Array) or not jnp.issubdtype(values.dtype, jnp.floating):
        raise UserError(f"{network}: its {what} are {kind}, they must be one array of floats")


def unrecorded(module: Module, variables: PyTree, *inputs: Array, **dropout: Array) -> Array:
    """Applies a network without recording batch statistics, which Flax's own layers cannot leave."""
    try:
        return module.apply(variables, *inputs, train=True, **dropout)
    except ModifyScopeVariableError:
        return module.apply(variables, *inputs, train=True, **dropout, mutable=["batch_stats"])[0]


def _two_passes(module: nn.Module, real: Images, fake: Images, *labels: Array, **dropout: Array) -> tuple[Logits, ...]:
    """Passes real and generated images as two batches, so that batch statistics do not mix."""
    return tuple(
        module(images, *labels, train=True, **({"bits": dropout[f"{name}_bits"]} if dropout else {}))
        for name, images in (("real", real), ("fake", fake))
    )
