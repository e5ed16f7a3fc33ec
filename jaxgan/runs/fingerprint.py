"""Fingerprints of methods that are code: the arrays of the state, and digests of what the functions compute."""

import hashlib
import json
import logging
import re
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax.errors import InvalidRngError

from jaxgan.errors import UserError
from jaxgan.methods import Batch, Method
from jaxgan.runs.digests import difference, structure
from jaxgan.runs.workdir import COORDINATES, Workdir, write_atomically

_log = logging.getLogger(__name__)


class Fingerprint(NamedTuple):
    """What a run depends on in a method."""

    state: Mapping[str, str]  # dtype and shape of each array, by name
    functions: Mapping[str, str]  # digests of traced functions, by name
    versions: Mapping[str, str]  # of the libraries that trace them


def fingerprint(method: Method, *, image_shape: tuple[int, int, int], batch_size: int) -> Fingerprint:
    """Traces a method, and checks that it fulfills the contract of :class:`Method`.

    The method must be built for one device, so that the fingerprint is the same on several.

    Raises:
      UserError: if its state lacks a field or changes its structure, a metric is not a scalar, or samples have another
        shape than images.
    """
    key, index = jax.eval_shape(jax.random.key, 0), jax.ShapeDtypeStruct((batch_size,), jnp.int32)
    state = jax.eval_shape(method.init, key)
    if structure(getattr(state, "step", None)) != {"": "int32()"} or not hasattr(state, "averaged"):
        fields = "`step`, an int32 that counts steps, and `averaged`, which may be None"
        raise UserError(f"method=: its state must have the fields {fields}, as ModelState and GANState have")
    if not hasattr(state, "replace"):
        raise UserError("method=: its state must have the method `replace`, as a flax.struct.PyTreeNode has")
    batch = Batch._make((jax.ShapeDtypeStruct((batch_size, *image_shape), jnp.float32), index, index))
    functions = {}
    functions["step"], (after, metrics) = _trace(method.step, state, batch, key)
    if differs := difference(structure(after), structure(state)):
        raise UserError(f"method=: its step returns a state whose {differs}")
    if wrong := [name for name, value in metrics.items() if value.shape != ()]:
        raise UserError(f"method=: its metric {wrong[0]!r} is of shape {metrics[wrong[0]].shape}, it must be a scalar")
    if wrong := [name for name in metrics if name in COORDINATES]:
        raise UserError(f"method=: its metric {wrong[0]!r} has the name of another column; give it another name")
    if draw := method.sample:
        functions["sample"], drawn = _trace(lambda state, key: draw(state, key, batch_size), state, key)
        if drawn.shape != batch.images.shape:
            needed = f"for this data they must be {batch.images.shape}"
            raise UserError(f"method=: {batch_size} of its samples are of shape {drawn.shape}, {needed}")
    if method.evaluate:
        functions["evaluate"], _ = _trace(method.evaluate, state, batch, key)
    return Fingerprint(structure(state), functions, {name: version(name) for name in ("jax", "flax", "optax")})


def remember(workdir: Workdir, found: Fingerprint) -> None:
    """Writes the fingerprint of a run's method to the working directory."""
    write_atomically(workdir.method, json.dumps(found._asdict(), indent=2) + "\n")


def require_same(workdir: Workdir, found: Fingerprint) -> None:
    """Refuses to resume with another method than the run started with.

    Another version of JAX, Flax or Optax may trace the same method differently: then other digests are only a warning.
    Functions that ``found`` lacks are not compared.

    Raises:
      UserError: if the state has other arrays, a function computes something else, or the file is damaged.
    """
    way_out = "give another workdir, or resume='never' to replace it"
    try:
        saved = Fingerprint(**json.loads(workdir.method.read_text()))
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f"--workdir: {str(workdir.method)!r} cannot be read ({error})") from error
    where = f"the run in {str(workdir.root)!r}"
    if differs := difference(found.state, saved.state):
        raise UserError(f"method=: differs from the method of {where}: {differs}; {way_out}")
    changed = [name for name in found.functions if found.functions[name] != saved.functions.get(name)]
    if changed and found.versions == saved.versions:
        raise UserError(f"method=: its {changed[0]} differs from that of {where}; {way_out}")
    if changed:
        versions = ", ".join(" ".join(pair) for pair in saved.versions.items())
        _log.warning("method=: cannot verify that it is unchanged, the run started with %s", versions)


def _trace(function: Any, *args: Any) -> tuple[str, Any]:
    """Returns a digest of a traced function and its constants, without memory addresses, and the result's shapes."""
    with jax.disable_jit(False):  # a user may have disabled jit for debugging
        try:
            traced, shapes = jax.make_jaxpr(function, return_shape=True)(*args)
        except InvalidRngError as error:
            raise UserError(f"method=: a network asks for rngs, but a GAN passes none ({error})") from error
    digest = hashlib.sha256(re.sub(r" at 0x[0-9a-f]+|\s", "", str(traced)).encode())
    for constant in traced.consts:
        digest.update(np.ascontiguousarray(constant).tobytes())
    return digest.hexdigest(), shapes
