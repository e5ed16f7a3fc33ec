"""Checkpoints through Orbax: saved asynchronously, restored onto any number of devices."""

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
    """Opens the checkpoints of a run; on exit, waits until all of them are on disk.

    Every process opens them and makes the same calls: the main process writes the arrays, and all synchronize.

    Args:
      directory: the folder of the checkpoints, with one folder per step.
      kept: how many of the latest checkpoints to keep.
      read_only: whether to change nothing in the folder, which must then exist.
      shared: whether all processes see the same folder; otherwise only the main process writes.

    Yields:
      Orbax's manager.

    Raises:
      OSError: on exit, if a checkpoint could not be written.
    """
    unshared = {}
    if not shared and jax.process_count() > 1:  # Orbax must not wait for processes that do not see its files
        directory.mkdir(parents=True, exist_ok=True)
        index = jax.process_index()
        only = {"primary_host": index, "active_processes": {index}, "barrier_sync_key_prefix": f"process_{index}"}
        unshared = {"create": False, "multiprocessing_options": ocp.options.MultiprocessingOptions(**only)}
        read_only |= not distributed.is_main_process()
    with _quiet():
        options = ocp.CheckpointManagerOptions(
            save_decision_policy=save_decision_policy.FixedIntervalPolicy(1),  # the training loop decides when
            preservation_policy=preservation_policy.LatestN(kept),
            enable_async_checkpointing=True,
            cleanup_tmp_directories=True,
            read_only=read_only,
            **unshared,
        )
        with _failures_named(directory):
            manager = _Manager(directory.absolute(), options=options)
        try:
            yield manager
        finally:
            with _failures_named(directory):
                manager.close()


class _Manager(ocp.CheckpointManager):
    """Orbax's manager without its check for preemption.

    Orbax checks at each save, with its own counter, which would have to be the same in all processes.
    """

    def reached_preemption(self, step: int) -> bool:
        """Returns False: ``runtime.signals`` handles preemption."""
        return False


@contextmanager
def _quiet() -> Iterator[None]:
    """Silences Orbax while a manager is open: it logs every save, and this module reports damage.

    If one array cannot be written, Orbax closes its event loop, and the callbacks of other arrays complain about it.
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
    """Converts what Orbax, TensorStore and the file system raise if a checkpoint cannot be written to OSError."""
    try:
        yield
    except jax.errors.JaxRuntimeError:  # of the devices or of another process
        raise
    except Exception as error:
        numbers = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.ENOENT)
        reason = next((text for text in map(os.strerror, numbers) if text in str(error)), None)
        if reason is None and jax.process_count() > 1:  # for example because another process is gone
            raise
        reason = reason or first_line(error)
        raise OSError(f"checkpoints cannot be written to {str(directory)!r} ({reason})") from error


def latest_step(directory: Path) -> int | None:
    """Returns the step of the newest complete checkpoint, or None; opens and creates nothing."""
    finished = [int(p.name) for p in directory.glob("*") if p.name.isdigit() and p.is_dir()]
    return max(finished, default=None)


def describe_latest(run: Run) -> str:
    """Describes the checkpoint from which a failed run can resume."""
    directory = Workdir(run.workdir).checkpoints
    if run.mirror and not distributed.is_main_process():
        return f"the files at {run.mirror!r} are kept"
    if not directory.parent.exists():
        return "nothing is kept, its folder is gone"
    kept = latest_step(directory)
    return "no checkpoint was saved" if kept is None else f"the checkpoint of step {kept} is kept"


def save(manager: ocp.CheckpointManager, carry: Carry, *, step: int) -> None:
    """Saves a carry asynchronously, unless its step or a later one is saved; raises OSError if a save failed."""
    latest = manager.latest_step()
    if latest is None or latest < step:
        tree = _to_disk(carry)
        if jax.process_count() > 1:
            tree = jax.tree.map(np.array, tree)  # of device arrays, Orbax would have each process write a part
        checked: Any = {digests.KEY: digests.digest(tree)} if distributed.is_main_process() else None
        with _failures_named(Path(manager.directory)):
            manager.save(step, args=ocp.args.StandardSave(tree, custom_metadata=checked))


def require_saved(manager: ocp.CheckpointManager) -> None:
    """Raises OSError if an asynchronous save failed."""
    with _failures_named(Path(manager.directory)):
        manager.check_for_errors()


def restore(manager: ocp.CheckpointManager, abstract: Carry, *, step: int, sharding: Sharding) -> Carry:
    """Restores a carry bit for bit onto the devices of this run.

    Raises:
      UserError: if the checkpoint is damaged, of another version, or cannot be read.
    """
    try:
        return _restore(manager, abstract, step=step, sharding=sharding)
    except Damage as damage:
        path, older = Path(manager.directory) / str(step), [s for s in manager.all_steps() if s < step]
        way_out = f"move it elsewhere to use step {max(older)}" if older else "there is no earlier one"
        raise UserError(f"--workdir: the checkpoint {str(path)!r} is damaged ({damage}); {way_out}") from damage


def restore_newest(manager: ocp.CheckpointManager, abstract: Carry, *, sharding: Sharding) -> tuple[int, Carry]:
    """Restores the newest intact checkpoint as :func:`restore` does, and renames newer ones, which are damaged.

    Returns:
      Its step and the carry.

    Raises:
      UserError: if no checkpoint is intact, or one is of another version or cannot be read; nothing is renamed then.
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
            set_aside(directory / str(newer), damage, then=f"the run resumes from step {step}")
        manager.reload()
        return step, carry
    reason = next(iter(damages.values()), "there is none")
    raise UserError(f"--workdir: no checkpoint in {str(directory)!r} is intact ({reason}); give another --workdir")


def verify(path: Path) -> None:
    """Reads a checkpoint in all processes, and raises Damage if it is damaged."""
    _damage_shared(lambda: digests.read(path / ITEM))


def set_aside(path: Path, damage: str, *, then: str) -> None:
    """Renames a damaged checkpoint, so that its step can be saved again, and warns what the run does next."""
    aside = path.with_name(f"{path.name}.damaged")
    for main_turn in (True, False):  # first the main process, then the others, which may have their own folders
        if distributed.is_main_process() is main_turn and path.exists():
            shutil.rmtree(aside, ignore_errors=True)
            path.rename(aside)
        distributed.all_gather_text("aside")
    _log.warning("the checkpoint %r is damaged and was renamed to %r (%s); %s", str(path), aside.name, damage, then)


def _restore(manager: ocp.CheckpointManager, abstract: Carry, *, step: int, sharding: Sharding) -> Carry:
    path, targets = Path(manager.directory) / str(step), _to_disk(abstract)
    arrays, checked = _damage_shared(lambda: _read(path, targets))
    if not checked:
        _log.warning("the checkpoint %r has no digests: it is of an earlier version, and not verified", str(path))
    tree = jax.tree.map(lambda array: replicate(array, sharding), digests.rebuild(arrays, targets))
    return Carry(tree["state"], tree["sums"], tree["count"])


def _read(path: Path, targets: PyTree) -> tuple[dict[str, np.ndarray], bool]:
    """Reads a checkpoint as :func:`digests.read` does, and requires that its structure is that of ``targets``."""
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
        except Damage as error:
            return None, str(error)

    result, damage = distributed.on_all_processes("restore", attempt)
    for message in filter(None, distributed.all_gather_text("damage", damage)):
        raise Damage(message)
    return cast(T, result)


def _to_disk(carry: Carry) -> dict[str, Any]:
    """Returns the tree of a checkpoint; its names stay when those of the classes in memory change."""
    return {"state": carry.state, "sums": carry.metric_sums, "count": carry.count}
