"""What a checkpoint holds in each design, item by item, and a checkpoint with one item left out."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from comparing.designs import NNX, PYTORCH

PYTORCH_FILE = "checkpoint.pt"
PARAMETERS, STATISTICS, OPTIMIZERS = "parameters", "batch statistics", "optimizer state"
AVERAGED, RANDOM, ORDER = "averaged parameters", "random state", "order of the data"
STEP, SUMS, SETTINGS = "step", "sums of metrics", "settings"

ITEMS = (PARAMETERS, STATISTICS, AVERAGED, OPTIMIZERS, STEP, SUMS, RANDOM, ORDER)

# Parts of a path that tell what an array belongs to; the first that occurs decides.
IN_JAX = {
    "rngs": RANDOM,
    "opt_state": OPTIMIZERS,
    "generator_optimizer": OPTIMIZERS,
    "discriminator_optimizer": OPTIMIZERS,
    "averaged": AVERAGED,
    "batch_stats": STATISTICS,
    "mean": STATISTICS,
    "var": STATISTICS,
    "params": PARAMETERS,
    "step": STEP,
    "sums": SUMS,
    "count": SUMS,
}
IN_PYTORCH = {"optimizers": OPTIMIZERS, "shuffler": ORDER, "random": RANDOM, "step": STEP, "sums": SUMS}
IN_PYTORCH |= {"options": SETTINGS}

Items = dict[str, dict[str, np.ndarray]]  # arrays by item and path


def item_of(path: tuple[Any, ...]) -> str:
    """Tells which item an array of a checkpoint in JAX belongs to, by its path."""
    names = [str(getattr(key, "name", getattr(key, "key", getattr(key, "idx", "")))) for key in path]
    return next((item for part, item in IN_JAX.items() if part in names), PARAMETERS)


def without(saved: Any, fresh: Any, item: str | None) -> Any:
    """Makes the checkpoint that has an item as a fresh run has it.

    Args:
      saved: the checkpoint.
      fresh: that of a run which has not begun, of the same structure.
      item: what is left out; None for nothing.

    Returns:
      The checkpoint.
    """
    return jax.tree_util.tree_map_with_path(lambda path, s, f: f if item_of(path) == item else s, saved, fresh)


def pytorch_without(saved: Mapping[str, Any], fresh: Mapping[str, Any], item: str | None) -> dict[str, Any]:
    """Makes the same for a twin in PyTorch."""
    left_out = {key: fresh[key] for key, belongs in IN_PYTORCH.items() if belongs == item}
    if item == STATISTICS:
        running = {name: value for name, value in fresh["twin"].items() if _is_buffer(name)}
        left_out["twin"] = {**saved["twin"], **running}
    return {**saved, **left_out}


def contents(design: str, folder: Path) -> Items:
    """Reads the newest checkpoint of a run.

    Args:
      design: one of `designs.DESIGNS`.
      folder: the run's working directory.

    Returns:
      Every array in it.
    """
    if design == PYTORCH:
        import torch

        named = _flat(torch.load(folder / PYTORCH_FILE, weights_only=True))
        return _grouped({path: (_pytorch_item(path), value) for path, value in named.items()})
    args = ocp.args.StandardRestore()
    with ocp.CheckpointManager((folder / "checkpoints").absolute()) as manager:
        step = manager.latest_step()
        if design == NNX:  # which has its settings beside the state
            tree = manager.restore(step, args=ocp.args.Composite(state=args))["state"]
        else:
            tree = manager.restore(step, args=args)
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return _grouped({jax.tree_util.keystr(path): (item_of(path), value) for path, value in leaves})


def _flat(value: Any, path: str = "") -> dict[str, Any]:
    """Flattens nested dictionaries and lists, to arrays by path."""
    parts = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else None
    if parts is None:
        return {path: value}
    return {name: leaf for key, part in parts for name, leaf in _flat(part, f"{path}/{key}").items()}


def _pytorch_item(path: str) -> str:
    first = path.split("/")[1]
    return IN_PYTORCH.get(first) or (STATISTICS if _is_buffer(path) else PARAMETERS)


def _is_buffer(name: str) -> bool:
    return "running_" in name or "num_batches" in name


def _grouped(named: Mapping[str, tuple[str, Any]]) -> Items:
    grouped: Items = {}
    for path, (item, value) in named.items():
        if value is None or isinstance(value, (bool, str)) or item == SETTINGS:
            continue  # not what training moves
        if isinstance(value, jax.Array) and jax.dtypes.issubdtype(value.dtype, jax.dtypes.prng_key):
            value = jax.random.key_data(value)
        grouped.setdefault(item, {})[path] = np.asarray(value)
    return grouped
