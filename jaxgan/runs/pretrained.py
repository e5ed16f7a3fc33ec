"""The pretrained generators of the package, as trained by their recipes; a manifest lists their quality."""

import hashlib
import importlib.resources
import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import PyTree
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load as parse

from jaxgan import methods, weight_files
from jaxgan.config import Config, from_json, to_json
from jaxgan.data.catalog import find
from jaxgan.errors import UserError, unknown_choice
from jaxgan.methods import Method

SHIPPED = importlib.resources.files("jaxgan.runs") / "weights"


class Pretrained(NamedTuple):
    """A trained method.

    Attributes:
      method: the method, built for one device.
      state: its state, for sampling. A GAN's has no discriminator parameters, so it cannot be trained further.
    """

    method: Method
    state: Any


def pretrained(name: str) -> Pretrained:
    """Loads a pretrained generator of the package.

    Args:
      name: the name of its recipe, such as ``"r3gan"``.

    Returns:
      The method and its state, for ``method.sample(state, key, count)``.

    Raises:
      UserError: if there is no generator of this name, or its file is damaged.
    """
    return load(name)[1]


def load(name: str) -> tuple[Config, Pretrained]:
    """Loads a pretrained generator and its config; see :func:`pretrained`."""
    config, step, tensors = read(name)
    about = find(config.run.data)
    method = methods.build(config.method, image_shape=about.image_shape, classes=len(about.class_names))
    state = jax.eval_shape(method.init, jax.random.key(0))
    variables = jax.tree.map_with_path(lambda path, _: tensors.get(_name(path)), _variables(state))
    zeros = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), state)  # the initial state of Adam
    return config, Pretrained(method, jax.device_put(zeros.with_variables(**variables).replace(step=np.int32(step))))


def read(name: str) -> tuple[Config, int, dict[str, np.ndarray]]:
    """Reads the file of a pretrained generator: its config, its step, and its arrays by path."""
    if name not in (generators := manifest()):
        raise unknown_choice("name", name, generators)
    path = Path(str(SHIPPED / f"{name}.safetensors"))
    try:
        content = path.read_bytes()
        if hashlib.sha256(content).hexdigest() != generators[name]["sha256"]:
            raise UserError(f"{path}: not the weights of this version; install the package again")
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata()
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path}: cannot be read ({error}); install the package again") from error
    tensors = {name: tensor.astype(np.float32) for name, tensor in parse(content).items()}
    return from_json(metadata["config"], source=str(path)), int(metadata["step"]), tensors


def encode(config: Config, state: Any, *, step: int, leave_out: Collection[str] = ()) -> bytes:
    """Encodes a state without some networks, in half precision, in the format of :func:`read`."""
    leaves = {_name(path): np.asarray(leaf, np.float16) for path, leaf in jax.tree.leaves_with_path(_variables(state))}
    kept = {name: leaf for name, leaf in leaves.items() if not {*name.split("/")} & {*leave_out}}
    return weight_files.encode(kept, {"config": to_json(config), "step": str(step)})


def manifest() -> Mapping[str, Mapping[str, Any]]:
    """Returns the manifest: by name the SHA-256 of the file, the command that trained it, and its quality."""
    return json.loads((SHIPPED / "manifest.json").read_text())


def _variables(state: Any) -> dict[str, PyTree]:
    return dict(zip(("params", "batch_stats"), state.variables(averaged=True), strict=True))


def _name(path: Any) -> str:
    return jax.tree_util.keystr(path, simple=True, separator="/")
