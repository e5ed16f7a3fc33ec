"""Checkpoints through Orbax: written in the background, restored onto any number of devices."""

import gc
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import jax
import orbax.checkpoint as ocp
from absl import logging
from jax.sharding import Sharding
from orbax.checkpoint.checkpoint_managers import preservation_policy, save_decision_policy

from jaxgan.errors import UserError
from jaxgan.runtime.program import Carry


@contextmanager
def checkpoint_manager(directory: Path, *, kept: int = 2, read_only: bool = False) -> Iterator[ocp.CheckpointManager]:
    """Opens a run's checkpoints; on leaving, waits until all of them are on disk.

    Args:
      directory: the folder of the checkpoints, one folder a step. Of many processes all open it, and all call what
        follows: one writes what is replicated, and all agree that it is written.
      kept: how many stay, the latest ones.
      read_only: whether to change nothing in the folder, which must then exist.

    Yields:
      Orbax's manager.
    """
    logging.set_verbosity(logging.FATAL)  # Orbax narrates each save, and damage is ours to report
    options = ocp.CheckpointManagerOptions(
        save_decision_policy=save_decision_policy.FixedIntervalPolicy(1),  # the loop decides when
        preservation_policy=preservation_policy.LatestN(kept),
        enable_async_checkpointing=True,
        cleanup_tmp_directories=True,
        read_only=read_only,
    )
    with ocp.CheckpointManager(directory.absolute(), options=options) as manager:
        # Orbax would ask at each save, with a count of its own, and many processes must all count alike to agree.
        manager.reached_preemption = lambda step: False
        yield manager


def latest_step(directory: Path) -> int | None:
    """Finds the newest complete checkpoint without opening, or creating, anything."""
    finished = [int(p.name) for p in directory.glob("*") if p.name.isdigit() and p.is_dir()]
    return max(finished, default=None)


def latest_words(directory: Path) -> str:
    """Says which checkpoint a run that failed can go on from."""
    kept = latest_step(directory)
    return "no checkpoint was saved before" if kept is None else f"the checkpoint of step {kept} is kept"


def save(manager: ocp.CheckpointManager, carry: Carry, *, step: int) -> None:
    """Saves a carry in the background; a step that is saved already stays as it is, and so does a later one."""
    latest = manager.latest_step()
    if latest is None or latest < step:
        manager.save(step, args=ocp.args.StandardSave(carry))


def restore(manager: ocp.CheckpointManager, abstract: Carry, *, step: int, sharding: Sharding) -> Carry:
    """Restores a carry, on whatever devices this run has.

    Args:
      manager: the run's checkpoints.
      abstract: shapes and types of the carry.
      step: which checkpoint.
      sharding: where each array shall lie.

    Returns:
      The carry as it was saved, to the bit.

    Raises:
      UserError: if the checkpoint is damaged or of other shapes.
    """
    targets = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), abstract)
    try:
        return manager.restore(step, args=ocp.args.StandardRestore(targets))
    except Exception as error:  # Orbax, TensorStore and the file system each have their own
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:120]
    _collect_quietly()
    path = Path(manager.directory) / str(step)
    others = [s for s in manager.all_steps() if s != step]
    way_out = f"delete it to go on from step {max(others)}" if others else "start afresh with --resume never"
    raise UserError(f"--workdir: the checkpoint {str(path)!r} is damaged or of another version ({reason}); {way_out}")


def _collect_quietly() -> None:
    """Lets go of what a failed restore left unfinished, each piece of which would complain on standard error."""
    hook, sys.unraisablehook = sys.unraisablehook, lambda _: None
    with warnings.catch_warnings(action="ignore"):
        gc.collect()
    sys.unraisablehook = hook
