"""What a run remembers of a method that is code: the arrays of its state, and a digest of what it computes."""

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
    """A method, as far as a run depends on it."""

    state: Mapping[str, str]  # type and shape of each array, by name
    functions: Mapping[str, str]  # digests of traced programs, by name
    versions: Mapping[str, str]  # of the libraries that write these programs


def fingerprint(method: Method, *, image_shape: tuple[int, int, int], batch_size: int) -> Fingerprint:
    """Traces a method, and requires that it keeps what :class:`Method` promises.

    The method is built for one device, so that the fingerprint is the same on many.

    Raises:
      UserError: if its state lacks a field or changes its structure, a metric is no number, or samples are of another
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
        raise UserError(
            f"method=: its metric {wrong[0]!r} is of shape {metrics[wrong[0]].shape}, it must be one number"
        )
    if wrong := [name for name in metrics if name in COORDINATES]:
        raise UserError(f"method=: its metric {wrong[0]!r} has the name of another column; give it another")
    if draw := method.sample:
        functions["sample"], drawn = _trace(lambda state, key: draw(state, key, batch_size), state, key)
        if drawn.shape != batch.images.shape:
            needed = f"for this data they must be {batch.images.shape}"
            raise UserError(f"method=: {batch_size} of its samples are of shape {drawn.shape}, {needed}")
    if method.evaluate:
        functions["evaluate"], _ = _trace(method.evaluate, state, batch, key)
    return Fingerprint(structure(state), functions, {name: version(name) for name in ("jax", "flax", "optax")})


def remember(workdir: Workdir, found: Fingerprint) -> None:
    """Writes the fingerprint of a run's method to its folder."""
    write_atomically(workdir.method, json.dumps(found._asdict(), indent=2) + "\n")


def require_same(workdir: Workdir, found: Fingerprint) -> None:
    """Refuses to go on with another method than a run began with.

    Under another version of JAX, Flax or Optax the same method may be traced to other programs: then a difference of
    these is a warning. Functions that the fingerprint lacks are not compared.

    Raises:
      UserError: if the state has other arrays, a function computes something else, or the file is damaged.
    """
    way_out = "give another workdir, or resume='never' to replace it"
    try:
        known = Fingerprint(**json.loads(workdir.method.read_text()))
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f"--workdir: {str(workdir.method)!r} cannot be read ({error})") from error
    if differs := difference(found.state, known.state):
        raise UserError(f"method=: another one than that of the run in {str(workdir.root)!r}: {differs}; {way_out}")
    changed = [name for name in found.functions if found.functions[name] != known.functions.get(name)]
    if changed and found.versions == known.versions:
        where = f"the run in {str(workdir.root)!r}"
        raise UserError(f"method=: its {changed[0]} computes something else than that of {where}; {way_out}")
    if changed:
        before = ", ".join(" ".join(pair) for pair in known.versions.items())
        _log.warning("method=: whether it is the same cannot be told, the run began with %s", before)


def _trace(function: Any, *args: Any) -> tuple[str, Any]:
    """A digest of a traced program and its constants, without places in memory; and the shapes of what it returns."""
    with jax.disable_jit(False):  # which a user may have set to look for a mistake
        try:
            traced, shapes = jax.make_jaxpr(function, return_shape=True)(*args)
        except InvalidRngError as error:
            raise UserError(f"method=: a network asks for rngs and is given none ({error})") from error
    digest = hashlib.sha256(re.sub(r" at 0x[0-9a-f]+|\s", "", str(traced)).encode())
    for constant in traced.consts:
        digest.update(np.ascontiguousarray(constant).tobytes())
    return digest.hexdigest(), shapes
