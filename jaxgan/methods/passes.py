"""Checks the networks of a GAN, and applies them in training mode, with or without recording batch statistics."""

import inspect
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn
from flax.errors import ModifyScopeVariableError
from jaxtyping import Array, Float, Int, PyTree, UInt32

from jaxgan.errors import UserError
from jaxgan.fields import check as check_field
from jaxgan.fields import non_negative, number, probability
from jaxgan.methods.losses import AdversarialLoss
from jaxgan.methods.method import Module
from jaxgan.methods.penalties import Penalty
from jaxgan.nn import noise

Images = Float[Array, "batch height width channels"]
Logits = Float[Array, " batch"]
Labels = tuple[Int[Array, " batch"], ...]  # one array of labels, or none if unconditional
Bits = Mapping[str, UInt32[Array, "batch words"]]  # random words of each example, by purpose


def check(gan: Any) -> None:
    """Checks what a GAN consists of.

    Raises:
      UserError: if a network is no Flax module with the arguments of its calls, another field is of another type or
        out of bounds, or the latent size too small for the prior.
    """
    inputs = ("inputs", "labels") if gan.classes else ("inputs",)
    for name in ("generator", "discriminator"):
        module, optimizer = getattr(gan, name), getattr(gan, f"{name}_optimizer")
        if not hasattr(module, "apply") or isinstance(module, type):
            raise UserError(f"{name}: {module!r} is not allowed, it must be an instance of a Linen module")
        try:
            inspect.signature(type(module).__call__).bind(module, *inputs, train=True)
        except TypeError as error:
            raise UserError(f"{name}: its __call__ must take ({', '.join(inputs)}, *, train) ({error})") from error
        if not hasattr(optimizer, "update"):
            raise UserError(f"{name}_optimizer=: {optimizer!r} is not allowed, it must be an optax optimizer")
    for name in ("latent_size", "critic_steps", "penalty_every", "accumulate"):
        if not isinstance(count := getattr(gan, name), int | np.integer) or (name != "latent_size" and count < 1):
            raise UserError(f"{name}=: {count!r} is not allowed, it must be an integer of at least 1")
    for name, kind, example in (
        ("prior", noise.Prior, "noise.PRIORS['normal']"),
        ("loss", AdversarialLoss, "losses.hinge()"),
        ("penalties", Penalty, "(penalties.r1(0.1),)"),
    ):
        given = getattr(gan, name)
        if not all(isinstance(part, kind) for part in (given if name == "penalties" else (given,))):
            raise UserError(f"{name}=: {given!r} is not allowed, give for example {example}")
    weight, truncation = non_negative(0), number(1, low=0, high=1)
    bounded = {"ema_decay": probability(0), "truncation": truncation, "classification_weight": weight}
    for name, bounds in bounded.items():
        if not isinstance(value := getattr(gan, name), jax.Array):  # swept fields are arrays
            check_field(f"{name}=", value, float, bounds.metadata)
    if gan.classification_weight and not gan.classes:
        given = f"{gan.classification_weight:g}"
        raise UserError(f"--classification-weight: {given} needs --conditional; otherwise set it to 0")
    if gan.latent_size <= (fixed := gan.prior.fixed):
        prior = f"with --prior {gan.prior.name}, it must be at least {fixed + 1}"
        raise UserError(f"--latent-size: {gan.latent_size} is not allowed {prior}")


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
    """Computes logits of a real and a generated batch, and the variables that both passes record."""
    names = ("real", "fake") if dropout_words(discriminator) else ()
    dropout = {f"{name}_bits": bits[f"{name}_dropout"] for name in names}
    method = getattr(type(discriminator), "logits_of_pair", _two_passes)
    logits, recorded = discriminator.apply(
        variables, real, fake, *labels, **dropout, method=method, mutable=["batch_stats", "intermediates"]
    )
    for each in logits:
        require_floats("discriminator", "logits", each)
        if each.shape != (len(real),):
            shapes = f"of shape {each.shape} for {len(real)} images, they must be {(len(real),)}, one per image"
            raise UserError(f"discriminator: its logits are {shapes}")
    return logits, recorded


def classification_loss(recorded: PyTree, labels: Labels) -> Float[Array, ""]:
    """Cross-entropy of the discriminator's projections of real images against their classes, in nats.

    The softmax over classes y of the logits of (image, y) is the posterior that the discriminator implies.

    Args:
      recorded: what :func:`logits_of_pair` recorded.
      labels: the class of each real image.

    Returns:
      The mean over the real images.

    Raises:
      UserError: if the discriminator does not sow its projections.

    References:
      Odena et al., Conditional Image Synthesis with Auxiliary Classifier GANs, 2017, equation 3, on real images.
    """
    if (projections := recorded.get("intermediates", {}).get("projections")) is None:
        raise UserError("classification_weight=: this discriminator sows no projections; leave it at 0")
    of_real = jnp.concatenate(projections)[: len(labels[0])]
    return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(of_real, labels[0]))


def require_floats(network: str, what: str, values: Any) -> None:
    """Requires that a network returned one array of floats: whole numbers carry no gradient."""
    kind = str(values.dtype) if isinstance(values, jax.Array) else type(values).__name__
    if not isinstance(values, jax.Array) or not jnp.issubdtype(values.dtype, jnp.floating):
        raise UserError(f"{network}: its {what} are {kind}, they must be one array of floats")


def require_images(fake: Any, real: Images) -> None:
    """Requires that a generator returned images of floats, of the shape of the data."""
    require_floats("generator", "images", fake)
    if fake.shape != real.shape:
        shapes = f"{fake.shape[1:]}, they must be {real.shape[1:]} like those of the data"
        raise UserError(f"generator: its images are of shape {shapes}")


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
