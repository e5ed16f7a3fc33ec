"""Every method at a tiny size: configs, batches and runs that were never trained."""

import dataclasses
import types
import typing

import jax
import jax.numpy as jnp
import numpy as np

from jaxgan.config import Config, Run
from jaxgan.methods import METHODS, Batch, build
from jaxgan.runs.load import LoadedRun
from jaxgan.runtime.program import to_unit_range
from tests.random_states import random_like

SHAPE, CLASSES = (8, 8, 1), 10
MOST = 2  # of anything that a config counts
KEY = jax.random.key(0)
QUICK = ("vanilla_gan", "digit_classifier")  # one with two networks and one that draws nothing


def options(kind):
    """The fields of a method's config, each with the types that it accepts."""
    config = METHODS[kind].config
    for field in dataclasses.fields(config):
        hint = typing.get_type_hints(config)[field.name]
        hints = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
        yield field, hints


def tiny(kind, **fields):
    """A method's config with every count as low as its bounds and MOST allow."""
    counts = {
        field.name: max(field.metadata["low"], min(field.default, MOST))
        for field, hints in options(kind)
        if int in hints and field.default is not None
    }
    return METHODS[kind].config(**{**counts, **fields})


def variants(kind):
    """The tiny config, another in bfloat16 with all that it leaves out, and one for each further choice of a field."""
    yield tiny(kind)
    left_out = {
        field.name: min(0.5, field.metadata["high"] / 2)
        for field, hints in options(kind)
        if float in hints and field.default == 0
    }
    left_out |= {field.name: True for field, hints in options(kind) if bool in hints}
    yield tiny(kind, compute_dtype="bfloat16", **left_out)
    for field, (hint, *_) in options(kind):
        # These have the same choices in all methods, and change no metric's name.
        common = ("initialization", "compute_dtype", "prior")
        if typing.get_origin(hint) is typing.Literal and field.name not in common and not field.name.endswith("norm"):
            yield from (tiny(kind, **{field.name: choice}) for choice in typing.get_args(hint)[1:])


def made(config, *, classes=CLASSES, **how):
    return build(config, image_shape=SHAPE, classes=classes, **how)


def images(count, seed=1):
    return np.random.default_rng(seed).integers(0, 256, (count, *SHAPE), dtype=np.uint8)


def a_batch(count, *, classes=CLASSES):
    index = jnp.arange(count)
    return Batch(to_unit_range(jnp.asarray(images(count))), index % classes, index)


def a_run(config, *, classes=CLASSES):
    """A run that was never trained, with random numbers for a state."""
    config = Config(config, Run())
    method = made(config.method, classes=classes)
    state = random_like(jax.eval_shape(method.init, KEY), dtype=np.float32, seed=0)
    return LoadedRun(config, method, state, 7, SHAPE, classes)
