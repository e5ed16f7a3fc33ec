"""Applies the networks of a GAN in training mode, with or without recording batch statistics."""

from collections.abc import Mapping

from flax import linen as nn
from flax.errors import ModifyScopeVariableError
from jaxtyping import Array, Float, Int, PyTree, UInt32

from jaxgan.errors import UserError
from jaxgan.methods.method import Module

Images = Float[Array, "batch height width channels"]
Logits = Float[Array, " batch"]
Labels = tuple[Int[Array, " batch"], ...]  # one array of labels, or none if unconditional
Bits = Mapping[str, UInt32[Array, "batch words"]]  # random words of each example, by purpose


def dropout_words(discriminator: Module) -> int:
    """Returns the random words per image that a discriminator takes; 0 without dropout."""
    return getattr(discriminator, "bits_per_example", 0)


def logits_of(
    discriminator: Module, variables: PyTree, images: Images, labels: Labels, bits: UInt32[Array, "batch words"]
) -> Logits:
    """Computes logits of images, without recording batch statistics."""
    dropout = {"bits": bits} if dropout_words(discriminator) else {}
    return unrecorded(discriminator, variables, images, *labels, **dropout)


def logits_of_pair(
    discriminator: Module, variables: PyTree, real: Images, fake: Images, labels: Labels, bits: Bits
) -> tuple[tuple[Logits, Logits], PyTree]:
    """Computes logits of a real and a generated batch, and the batch statistics of both passes."""
    names = ("real", "fake") if dropout_words(discriminator) else ()
    dropout = {f"{name}_bits": bits[f"{name}_dropout"] for name in names}
    method = getattr(type(discriminator), "logits_of_pair", _two_passes)
    logits, recorded = discriminator.apply(
        variables, real, fake, *labels, **dropout, method=method, mutable=["batch_stats"]
    )
    if logits[0].shape != (len(real),):
        shapes = f"of shape {logits[0].shape} for {len(real)} images, they must be {(len(real),)}, one per image"
        raise UserError(f"discriminator: its logits are {shapes}")
    return logits, recorded


def unrecorded(module: Module, variables: PyTree, *inputs: Array, **dropout: Array) -> Array:
    """Applies a network without recording batch statistics; Flax's layers always record, so theirs are discarded."""
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
