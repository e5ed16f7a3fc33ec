"""Digests of a checkpoint: dtype, shape and CRC-32 of each array, in the metadata that Orbax writes beside it.

A CRC-32 detects every flipped bit, and every damage of up to 32 consecutive bits.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
import tensorstore as ts
from jaxtyping import PyTree
from zlib_ng import zlib_ng  # four times as fast as the standard library, with the same results

METADATA = "_METADATA"  # the file in which Orbax describes a tree
KEY = "digests"  # the key of the digests in Orbax's custom metadata

Digests = Mapping[str, str]  # by array name, such as "float32(8, 3) 1c291ca3"


class Damage(Exception):
    """A checkpoint does not hold what was saved; the message names the first damaged array."""


def digest(tree: PyTree) -> Digests:
    """Computes the digests of a tree of arrays, which every process must hold whole."""
    return {_name(path): _digest(np.asarray(leaf)) for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}


def structure(tree: PyTree) -> dict[str, str]:
    """Returns the dtypes and shapes of a tree of arrays, concrete or abstract, by name."""
    return {_name(path): _kind(leaf) for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}


def difference(found: Mapping[str, str], wanted: Mapping[str, str]) -> str:
    """Describes the first array that differs between two structures; empty if none does."""
    names = sorted(name for name in found.keys() | wanted.keys() if found.get(name) != wanted.get(name))
    return f"{names[0]} is {found.get(names[0], 'absent')}, not {wanted.get(names[0], 'absent')}" if names else ""


def rebuild(arrays: Mapping[str, np.ndarray], tree: PyTree) -> PyTree:
    """Builds a tree with the structure of another one from arrays by name."""
    return jax.tree_util.tree_map_with_path(lambda path, _: arrays[_name(path)], tree)


def read(directory: Path) -> tuple[dict[str, np.ndarray], bool]:
    """Reads a checkpoint array by array, and verifies each against its digest.

    Orbax would read all arrays at once, without verifying them, in an event loop that it closes when one fails: the
    others then print tracebacks.

    Args:
      directory: the item of a checkpoint.

    Returns:
      The arrays by name, and whether they were verified: the first edition wrote no digests.

    Raises:
      Damage: if an array differs from its digest or cannot be decoded, or the metadata are damaged.
      OSError: if a file cannot be opened, which need not mean that it is damaged.
    """
    for path in directory.rglob("*"):
        if path.is_file():
            path.open("rb").close()
    store = {"driver": "ocdbt", "base": {"driver": "file", "path": f"{directory}/"}}
    try:
        saved = (json.loads((directory / METADATA).read_text()).get("custom_metadata") or {}).get(KEY)
        keys = ts.KvStore.open(store).result().list().result()
        names = sorted(saved or {key.decode().rpartition("/")[0].replace(".", "/") for key in keys})
    except Exception as error:  # JSON, TensorStore and the file system each raise their own
        raise Damage(f"its metadata cannot be read: {first_line(error)}") from error
    context, arrays = ts.Context(), {}
    for name in names:
        spec = {"driver": "auto", "kvstore": {**store, "path": f"{name.replace('/', '.')}/"}}
        try:
            array = ts.open(spec, open=True, context=context).result()
            if saved is None or saved[name].startswith(f"{_kind(array)} "):  # a wrong shape may have any size
                arrays[name] = np.asarray(array.read().result())
        except Exception as error:
            raise Damage(f"{name} cannot be read: {first_line(error)}") from error
        if saved is not None and (name not in arrays or _digest(arrays[name]) != saved[name]):
            raise Damage(f"{name} differs from what was saved")
    return arrays, saved is not None


def _name(path: Any) -> str:
    return jax.tree_util.keystr(path, simple=True, separator="/")


def _kind(array: Any) -> str:
    """Returns an array's dtype and shape as text, for arrays of any library."""
    return f"{array.dtype.name}{tuple(map(int, array.shape))}"


def _digest(array: np.ndarray) -> str:
    content = np.ascontiguousarray(array).reshape(-1).view(np.uint8)  # a view of bytes: bfloat16 has no buffer protocol
    return f"{_kind(array)} {zlib_ng.crc32(content.data):08x}"


def first_line(error: BaseException) -> str:
    """Returns the first line of an error's message, or the name of its type."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:120]
