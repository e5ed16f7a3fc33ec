"""Checkpoints through Orbax: saved in the background, restored onto any number of devices."""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import orbax.checkpoint as ocp
import tensorstore as ts
from etils import epath
from jaxtyping import PyTree
from orbax.checkpoint.checkpoint_managers import preservation_policy, save_decision_policy

from jaxgan import methods
from jaxgan.config import Config, Run
from jaxgan.data.catalog import find
from jaxgan.errors import UserError
from jaxgan.methods import Method
from jaxgan.runs import tracking
from jaxgan.runs.workdir import Workdir, load_config
from jaxgan.runtime import distributed
from jaxgan.runtime.devices import Sharding, replicated, select_devices
from jaxgan.runtime.program import Carry, initial_carry

ITEM = "default"  # the folder in which Orbax puts a checkpoint's only item
LESS_IS_BETTER = frozenset({"frechet_distance", "kernel_distance"})


class LoadedRun(NamedTuple):
    """A run read back from one of its checkpoints."""

    config: Config
    method: Method  # built for one device
    state: Any  # the method's
    step: int
    image_shape: tuple[int, int, int]
    classes: int


def load_run(folder: Path, *, best: bool = False) -> LoadedRun:
    """Reads a run back from its newest checkpoint, and changes nothing in its folder.

    The images are not needed: their shape is known from the catalog.

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
    if not folder.root.exists():
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


@contextmanager
def checkpoint_manager(directory: Path, *, kept: int = 2, read_only: bool = False) -> Iterator[ocp.CheckpointManager]:
    """Opens a run's checkpoints; on leaving, waits until all of them are on disk.

    Every process opens them and makes the same calls: one process writes what is replicated, and all agree that it is
    written.

    Args:
      directory: the folder of the checkpoints, one folder per step.
      kept: how many to keep, the latest ones.
      read_only: whether to change nothing in the folder, which must then exist.

    Yields:
      Orbax's manager.
    """
    with _quiet():
        options = ocp.CheckpointManagerOptions(
            save_decision_policy=save_decision_policy.FixedIntervalPolicy(1),  # the training loop decides when
            preservation_policy=preservation_policy.LatestN(kept),
            enable_async_checkpointing=True,
            cleanup_tmp_directories=True,
            read_only=read_only,
        )
        with _Manager(directory.absolute(), options=options) as manager:
            yield manager


class _Manager(ocp.CheckpointManager):
    """Orbax's manager without its own search for preemption.

    Orbax asks at each save, with a count of its own, and many processes must all count alike to agree.
    """

    def reached_preemption(self, step: int) -> bool:
        """Never: ``runtime.signals`` asks."""
        return False


@contextmanager
def _quiet() -> Iterator[None]:
    """Silences Orbax's log while a manager is open: it narrates each save, and damage is ours to report."""
    logger = logging.getLogger("absl")
    before = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(before)


def latest_step(directory: Path) -> int | None:
    """Finds the newest complete checkpoint without opening, or creating, anything."""
    finished = [int(p.name) for p in directory.glob("*") if p.name.isdigit() and p.is_dir()]
    return max(finished, default=None)


def describe_latest(directory: Path) -> str:
    """Says which checkpoint a run that failed can go on from."""
    kept = latest_step(directory)
    return "no checkpoint was saved before" if kept is None else f"the checkpoint of step {kept} is kept"


def save(manager: ocp.CheckpointManager, carry: Carry, *, step: int) -> None:
    """Saves a carry in the background; a step that is saved already stays as it is, and so does a later one."""
    latest = manager.latest_step()
    if latest is None or latest < step:
        manager.save(step, args=ocp.args.StandardSave(_to_disk(carry)))


def restore(manager: ocp.CheckpointManager, abstract: Carry, *, step: int, sharding: Sharding) -> Carry:
    """Restores a carry, on whatever devices this run has.

    Args:
      manager: the run's checkpoints.
      abstract: shapes and types of the carry.
      step: which checkpoint.
      sharding: where each array shall be.

    Returns:
      The carry as it was saved, to the bit.

    Raises:
      UserError: if the checkpoint is damaged or of other shapes.
    """
    targets = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), _to_disk(abstract))
    path = Path(manager.directory) / str(step)
    try:
        _require_readable(path / ITEM, targets)
        return _from_disk(manager.restore(step, args=ocp.args.StandardRestore(targets)))
    except Exception as error:  # Orbax, TensorStore and the file system each have their own
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:120]
    others = [s for s in manager.all_steps() if s != step]
    way_out = f"delete it to go on from step {max(others)}" if others else "start afresh with --resume never"
    raise UserError(f"--workdir: the checkpoint {str(path)!r} is damaged or of another version ({reason}); {way_out}")


def _require_readable(directory: Path, targets: PyTree) -> None:
    """Reads a checkpoint once, array by array, and raises where one is damaged or of another shape.

    Orbax reads all arrays at once, in an event loop that it closes when one fails; the others then print tracebacks.
    """
    base = {"driver": "file", "path": f"{directory}/"}
    files = ts.KvStore.open({"driver": "ocdbt", "base": base}).result()
    for key in files.list().result():
        files.read(key).result()
    found, wanted = _shapes(ocp.StandardCheckpointHandler().metadata(epath.Path(directory)).tree), _shapes(targets)
    for name in sorted(found.keys() | wanted.keys()):
        if found.get(name) != wanted.get(name):
            raise ValueError(f"{name} is {found.get(name, 'absent')}, not {wanted.get(name, 'absent')}")


def _shapes(tree: PyTree) -> dict[str, tuple[int, ...]]:
    """The shapes of arrays by their path."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="/"): tuple(leaf.shape) for path, leaf in leaves}


def _to_disk(carry: Carry) -> dict[str, Any]:
    """The tree of a checkpoint, whose names outlive those of the classes in memory."""
    return {"state": carry.state, "sums": carry.metric_sums, "count": carry.count}


def _from_disk(tree: Mapping[str, Any]) -> Carry:
    return Carry(tree["state"], tree["sums"], tree["count"])


@contextmanager
def keep_best(folder: Workdir, run: Run) -> Iterator[Callable[[Mapping[str, float], Carry, int], None]]:
    """Opens the folder of the best checkpoint by a metric of samples; a new one must beat the one that is there.

    A checkpoint of a step that is yet to come, which a crash left, was best then and will be again: it stays until a
    later one is better.

    Args:
      folder: the run's. Its rows of metrics end where the run goes on.
      run: which metric counts.

    Yields:
      A function of each row of metrics, the carry that it describes and its step, which every process calls; the main
      process decides.
    """
    if run.keep_best == "none":
        yield lambda row, carry, step: None
        return
    sign = -1 if run.keep_best in LESS_IS_BETTER else 1
    kept = latest_step(folder.best)
    before = [row for row in tracking.read_rows(folder.metrics) if row["step"] == kept]
    bar = max((sign * row[run.keep_best] for row in before if run.keep_best in row), default=-float("inf"))
    with checkpoint_manager(folder.best, kept=1) as manager:

        def offer(row: Mapping[str, float], carry: Carry, step: int) -> None:
            nonlocal bar
            value = sign * row.get(run.keep_best, float("nan"))
            if distributed.broadcast_from_main(int(value > bar)):
                bar = value
                save(manager, carry, step=step)

        yield offer
