"""A run read back from its folder alone: its config, its method and the newest state that was saved."""

from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxgan.config import Config
from jaxgan.data.catalog import find
from jaxgan.errors import UserError
from jaxgan.methods import Method, build
from jaxgan.runtime import checkpoints
from jaxgan.runtime.devices import replicated, select_devices
from jaxgan.runtime.program import initial_carry
from jaxgan.runtime.workdir import Workdir, load_config


class Finished(NamedTuple):
    """A run that has come to its end, or at least to a checkpoint."""

    config: Config
    method: Method  # built for one device
    state: Any  # the method's
    step: int


def load(folder: Path, *, best: bool = False) -> Finished:
    """Reads a run back from its newest checkpoint, and changes nothing in its folder.

    The images are not needed: their shape is known from the catalog.

    Args:
      folder: the run's.
      best: whether to take the checkpoint that was best by a metric instead.

    Returns:
      The run, with its state on one device.

    Raises:
      UserError: if there is no such folder, no run or no checkpoint in it, or one of them is damaged.
    """
    try:
        return _load(Workdir(folder), best=best)
    except UserError as error:  # those who train call the folder by a flag
        raise UserError(str(error).removeprefix("--workdir: ")) from error


def _load(folder: Workdir, *, best: bool) -> Finished:
    root = str(folder.root)
    if not folder.root.exists():
        raise UserError(f"{root!r}: no such folder; give the --workdir of a run")
    if (config := load_config(folder)) is None:
        raise UserError(f"{root!r}: this folder holds no run, it has no {folder.config.name}")
    saved = folder.best if best else folder.checkpoints
    if (step := checkpoints.latest_step(saved)) is None:
        kept = "kept no best checkpoint, train it with --keep-best" if best else "has no checkpoint yet"
        raise UserError(f"{root!r}: this run of {config.kind} {kept}")
    spec = find(config.run.data, image_size=config.run.image_size)
    image_shape = spec.image_shape
    method = build(config.method, image_shape=image_shape, classes=len(spec.class_names))
    abstract = jax.eval_shape(partial(initial_carry, method, image_shape=image_shape), np.uint32(config.run.seed))
    sharding = replicated(select_devices(count=1))
    with checkpoints.checkpoint_manager(saved, read_only=True) as manager:
        carry = checkpoints.restore(manager, abstract, step=step, sharding=sharding)
    return Finished(config, method, carry.state, step)
