"""A run read back from its folder: its config, its method and the state of a checkpoint."""

import os
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxgan import methods
from jaxgan.config import Config
from jaxgan.data.catalog import find
from jaxgan.errors import UserError
from jaxgan.methods import Method
from jaxgan.runs.checkpoints import checkpoint_manager, latest_step, restore
from jaxgan.runs.workdir import Workdir, load_config, require_readable
from jaxgan.runtime.devices import replicated, select_devices
from jaxgan.runtime.program import initial_carry


class LoadedRun(NamedTuple):
    """A run read back from one of its checkpoints."""

    config: Config
    method: Method  # built for one device
    state: Any  # the method's
    step: int
    image_shape: tuple[int, int, int]
    classes: int

    def sample(self, count: int, **options: Any) -> np.ndarray:
        """Draws samples as bytes; for the options see :func:`jaxgan.runs.sample.draw`."""
        from jaxgan.runs.sample import draw

        return draw(self, count=count, **options)[0]


def load_run(folder: Path, *, best: bool = False) -> LoadedRun:
    """Reads a run back from its newest checkpoint, and changes nothing in its folder.

    Args:
      folder: the run's.
      best: whether to take the checkpoint that ``--keep-best`` kept.

    Returns:
      The run, with its state on one device.

    Raises:
      UserError: if there is no such folder, no run or no checkpoint in it, or one of them is damaged.
    """
    try:
        return _load(Workdir(folder), best=best)
    except UserError as error:  # those who train call the folder by a flag
        raise UserError(str(error).removeprefix("--workdir: ")) from error


def _load(folder: Workdir, *, best: bool) -> LoadedRun:
    root = str(folder.root)
    require_readable(folder.root)
    if not os.path.exists(folder.root):
        raise UserError(f"{root!r}: no such folder; give the --workdir of a run")
    if (config := load_config(folder)) is None:
        raise UserError(f"{root!r}: this folder holds no run, it has no {folder.config.name}")
    saved = folder.best if best else folder.checkpoints
    if (step := latest_step(saved)) is None:
        kept = "kept no best checkpoint, train it with --keep-best" if best else "has no checkpoint yet"
        raise UserError(f"{root!r}: this run of {config.kind} {kept}")
    spec = find(config.run.data, image_size=config.run.image_size)
    image_shape, classes = spec.image_shape, len(spec.class_names)
    method = methods.build(config.method, image_shape=image_shape, classes=classes)
    abstract = jax.eval_shape(partial(initial_carry, method, image_shape=image_shape), np.uint32(config.run.seed))
    sharding = replicated(select_devices(count=1))
    with checkpoint_manager(saved, read_only=True) as manager:
        carry = restore(manager, abstract, step=step, sharding=sharding)
    return LoadedRun(config, method, carry.state, step, image_shape, classes)
