"""Checkpoints through Orbax: saved in the background, restored onto any number of devices."""

import errno
import logging
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar, cast

import jax
import numpy as np
import orbax.checkpoint as ocp
from jaxtyping import PyTree
from orbax.checkpoint.checkpoint_managers import preservation_policy, save_decision_policy

from jaxgan.config import Run
from jaxgan.errors import UserError
from jaxgan.runs import digests
from jaxgan.runs.digests import Damage, first_line
from jaxgan.runs.workdir import Workdir
from jaxgan.runtime import distributed
from jaxgan.runtime.devices import Sharding, replicate
from jaxgan.runtime.program import Carry

T = TypeVar("T")

ITEM = "default"  # the folder in which Orbax puts a checkpoint's only item

_log = logging.getLogger(__name__)


@contextmanager
def checkpoint_manager(
    directory: Path, *, kept: int = 2, read_only: bool = False, shared: bool = True
) -> Iterator[ocp.CheckpointManager]:
    """Opens a run's checkpoints; on leaving, waits until all of them are on disk.

    Every process opens them and makes the same calls: the main process writes the arrays, and all agree on it.

    Args:
      directory: the folder of the checkpoints, one folder per step.
      kept: how many to keep, the latest ones.
      read_only: whether to change nothing in the folder, which must then exist.
      shared: whether all processes see one folder; otherwise the others write nothing.

    Yields:
      Orbax's manager.

    Raises:
      OSError: on leaving, if a checkpoint could not be written.
    """
    alone = {}
    if not shared and jax.process_count() > 1:  # Orbax may not wait for processes that do not see what it writes
        directory.mkdir(parents=True, exist_ok=True)
        me = jax.process_index()
        only = {"primary_host": me, "active_processes": {me}, "barrier_sync_key_prefix": f"process_{me}"}
        alone = {"create": False, "multiprocessing_options": ocp.options.MultiprocessingOptions(**only)}
        read_only |= not distributed.is_main_process()
    with _quiet():
        options = ocp.CheckpointManagerOptions(
            save_decision_policy=save_decision_policy.FixedIntervalPolicy(1),  # the training loop decides when
            preservation_policy=preservation_policy.LatestN(kept),
            enable_async_checkpointing=True,
            cleanup_tmp_directories=True,
            read_only=read_only,
            **alone,
        )
        with _failures_named(directory):
            manager = _Manager(directory.absolute(), options=options)
        try:
            yield manager
        finally:
            with _failures_named(directory):
                manager.close()


class _Manager(ocp.CheckpointManager):
    """Orbax's manager without its own search for preemption.

    Orbax asks at each save, with a count of its own, and many processes must all count alike to agree.
    """

    def reached_preemption(self, step: int) -> bool:
        """Never: ``runtime.signals`` asks."""
        return False


@contextmanager
def _quiet() -> Iterator[None]:
    """Silences Orbax while a manager is open: it narrates each save, and damage is ours to report.

    Where one array cannot be written, Orbax closes its event loop, and the others' callbacks complain of that.
    """
    logger, hook = logging.getLogger("absl"), sys.unraisablehook
    before = logger.level

    def complain(unraisable: Any) -> None:
        if str(unraisable.exc_value) != "Event loop is closed":
            hook(unraisable)

    logger.setLevel(logging.CRITICAL + 1)
    sys.unraisablehook = complain
    try:
        yield
    finally:
        sys.unraisablehook = hook
        logger.setLevel(before)


@contextmanager
def _failures_named(directory: Path) -> Iterator[None]:
    """Raises what Orbax, TensorStore and the file system raise when a checkpoint cannot be written as OSError."""
    try:
        yield
    except jax.errors.JaxRuntimeError:  # of the devices or of another process
        raise
    except Exception as error:
        known = (os.strerror(number) for number in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.ENOENT))
        reason = next((words for words in known if words in str(error)), None)
        if reason is None and jax.process_count() > 1:  # another process is gone, for one
            raise
        reason = reason or first_line(error)
        raise OSError(f"no checkpoint can be written to {str(directory)!r} ({reason})") from error


def latest_step(directory: Path) -> int | None:
    """Finds the newest complete checkpoint without opening, or creating, anything."""
    finished = [int(p.name) for p in directory.glob("*") if p.name.isdigit() and p.is_dir()]
    return max(finished, default=None)


def describe_latest(run: Run) -> str:
    """Says which checkpoint a run that failed can go on from."""
    directory = Workdir(run.workdir).checkpoints
    if run.mirror and not distributed.is_main_process():
        return f"what is at {run.mirror!r} is kept"
    if not directory.parent.exists():
        return "nothing is kept, its folder is gone"
    kept = latest_step(directory)
    return "no checkpoint was saved before" if kept is None else f"the checkpoint of step {kept} is kept"


def save(manager: ocp.CheckpointManager, carry: Carry, *, step: int) -> None:
    """Saves a carry in the background, unless its step or a later one is saved; raises OSError for one that failed."""
    latest = manager.latest_step()
    if latest is None or latest < step:
        tree = _to_disk(carry)
        if jax.process_count() > 1:
            tree = jax.tree.map(np.array, tree)  # of arrays on devices Orbax would have each process write a part
        checked: Any = {digests.KEY: digests.digest(tree)} if distributed.is_main_process() else None
        with _failures_named(Path(manager.directory)):
            manager.save(step, args=ocp.args.StandardSave(tree, custom_metadata=checked))


def require_saved(manager: ocp.CheckpointManager) -> None:
    """Raises OSError if a checkpoint could not be written in the background."""
    with _failures_named(Path(manager.directory)):
        manager.check_for_errors()


def restore(manager: ocp.CheckpointManager, abstract: Carry, *, step: int, sharding: Sharding) -> Carry:
    """Restores a carry as it was saved, to the bit, on whatever devices this run has.

    Raises:
      UserError: if the checkpoint is damaged, of another version, or cannot be read.
    """
    try:
        return _restore(manager, abstract, step=step, sharding=sharding)
    except Damage as damage:
        path, older = Path(manager.directory) / str(step), [s for s in manager.all_steps() if s < step]
        way_out = f"move it elsewhere to go on from step {max(older)}" if older else "there is no earlier one"
        raise UserError(f"--workdir: the checkpoint {str(path)!r} is damaged ({damage}); {way_out}") from damage


def restore_newest(manager: ocp.CheckpointManager, abstract: Carry, *, sharding: Sharding) -> tuple[int, Carry]:
    """Restores the newest intact checkpoint as :func:`restore` does, and renames newer ones, which are damaged.

    Returns:
      Its step and the carry.

    Raises:
      UserError: if none is intact, or one is of another version or cannot be read; nothing has changed then.
    """
    directory, damages = Path(manager.directory), {}
    steps = " ".join(map(str, sorted(manager.all_steps(), reverse=True)))
    for step in map(int, distributed.all_gather_text("steps", steps)[0].split()):
        try:
            carry = _restore(manager, abstract, step=step, sharding=sharding)
        except Damage as damage:
            damages[step] = str(damage)
            continue
        for newer, damage in damages.items():
            set_aside(directory / str(newer), damage, then=f"the run goes on from step {step}")
        manager.reload()
        return step, carry
    reason = next(iter(damages.values()), "there is none")
    raise UserError(f"--workdir: no checkpoint in {str(directory)!r} is intact ({reason}); give another --workdir")


def verify(path: Path) -> None:
    """Reads a checkpoint in all processes, and raises Damage if it is damaged."""
    _damage_shared(lambda: digests.read(path / ITEM))


def set_aside(path: Path, damage: str, *, then: str) -> None:
    """Renames a damaged checkpoint, so that another one of its step can be saved, and says what the run does then."""
    aside = path.with_name(f"{path.name}.damaged")
    for turn in (True, False):  # then the others, where each has a folder of its own
        if distributed.is_main_process() is turn and path.exists():
            shutil.rmtree(aside, ignore_errors=True)
            path.rename(aside)
        distributed.all_gather_text("aside")
    _log.warning("the checkpoint %r is damaged and now called %r (%s); %s", str(path), aside.name, damage, then)


def _restore(manager: ocp.CheckpointManager, abstract: Carry, *, step: int, sharding: Sharding) -> Carry:
    path, targets = Path(manager.directory) / str(step), _to_disk(abstract)
    arrays, checked = _damage_shared(lambda: _read(path, targets))
    if not checked:
        _log.warning("the checkpoint %r has no digests: it is of an earlier version, and taken as it is", str(path))
    tree = jax.tree.map(lambda array: replicate(array, sharding), digests.rebuild(arrays, targets))
    return Carry(tree["state"], tree["sums"], tree["count"])


def _read(path: Path, targets: PyTree) -> tuple[dict[str, np.ndarray], bool]:
    """Reads a checkpoint as :func:`digests.read` does, and requires that it holds arrays like ``targets``."""
    try:
        arrays, checked = digests.read(path / ITEM)
    except OSError as error:
        raise UserError(f"--workdir: {error.filename!r} cannot be read ({error.strerror or error})") from error
    if differs := digests.difference(digests.structure(arrays), digests.structure(targets)):
        raise UserError(
            f"--workdir: the checkpoint {str(path)!r} is of another version ({differs}); give another --workdir"
        )
    return arrays, checked


def _damage_shared(work: Callable[[], T]) -> T:
    """Runs ``work`` on every process; if it raises Damage or UserError on any of them, raises on all."""

    def attempt() -> tuple[T | None, str]:
        try:
            return work(), ""
        except Damage as found:
            return None, str(found)

    result, damage = distributed.on_all_processes("restore", attempt)
    for words in filter(None, distributed.all_gather_text("damage", damage)):
        raise Damage(words)
    return cast(T, result)


def _to_disk(carry: Carry) -> dict[str, Any]:
    """The tree of a checkpoint, whose names outlive those of the classes in memory."""
    return {"state": carry.state, "sums": carry.metric_sums, "count": carry.count}
