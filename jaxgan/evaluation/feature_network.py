"""The feature network: a digit classifier whose weights are pinned by their hash.

Metrics compare the features of images, so they depend on the network. Results of different versions are not
comparable, nor are those of Inception, which was trained on photographs.
"""

import hashlib
import importlib.resources
import os
import shlex
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from flax.traverse_util import flatten_dict, unflatten_dict
from jaxtyping import Float32, PyTree, UInt8
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load as parse

from jaxgan import weight_files
from jaxgan.data import ARRAYS, key
from jaxgan.data.arrays import require_room
from jaxgan.data.prepared import expand
from jaxgan.errors import UserError, require_file
from jaxgan.nn.classifier import CLASSIFIERS

FEATURE_BATCH = 500  # batch size of the network
SHIPPED = importlib.resources.files("jaxgan.evaluation") / "weights"
# SHA-256 of the weights in the package, by data set, and their version, which increases when they change.
PINNED: Mapping[str, str] = {"mnist": "30da1e7fbdddd59c8dbb0df2467e8653261ac221448476b7998668a0e3c1da36"}
VERSIONS: Mapping[str, str] = {"mnist": "jaxgan-mnist-1"}

Images = UInt8[np.ndarray, "n height width channels"]
Features = Float32[np.ndarray, "n features"]
Probabilities = Float32[np.ndarray, "n classes"]


class FeatureNetwork(NamedTuple):
    """A trained classifier and the features that metrics compare."""

    version: str  # name that every result reports
    # From images to non-negative features, and class probabilities or None if there are no classes.
    extract: Callable[[Images], tuple[Features, Probabilities | None]]


def choose(data: str, *, classes: int, image_size: int | None = None, judge: Path | None = None) -> FeatureNetwork:
    """Loads the given classifier, or else that of the data set; pixels if the data set cannot have one."""
    if judge is not None:
        return load_judge(judge, data, image_size=image_size, classes=classes)
    if has_no_classifier(data, classes=classes):
        return pixels()
    return load(data, image_size=image_size, classes=classes)


def has_no_classifier(data: str, *, classes: int) -> bool:
    """Whether a data set cannot have a classifier: images without labels, or arrays of a program."""
    return data == ARRAYS or classes == 1


def load(data: str = "mnist", *, image_size: int | None = None, classes: int | None = None) -> FeatureNetwork:
    """Loads the classifier of a data set, from the package or from the user's cache.

    Args:
      data: name of the data set in the catalog, or path of your own images.
      image_size: size that your own images are resized to.
      classes: number of classes of the data set; None for no check.

    Returns:
      The network.

    Raises:
      UserError: if the data set has no classifier, or its file is damaged or has other classes.
    """
    path = Path(str(SHIPPED / f"{data}.safetensors")) if data in PINNED else cached(data, image_size)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(
            f"--data: no classifier of {data!r} to evaluate with; train one with "
            f"`jaxgan train digit_classifier --data {shlex.quote(data)}"
            + (f" --image-size {image_size}`" if image_size else "`")
        ) from error
    if data in PINNED and hashlib.sha256(content).hexdigest() != PINNED[data]:
        raise UserError(f"{path}: not the classifier of this version; reinstall the package")
    return _parse(path, content, data, image_size=image_size, classes=classes)


def load_judge(
    path: Path, data: str = "mnist", *, image_size: int | None = None, classes: int | None = None
) -> FeatureNetwork:
    """Loads a classifier from the file that a training run wrote, to replace the network of :func:`load`.

    Args:
      path: the file ``classifier.safetensors``.
      data: the data set that the classifier must have been trained on.
      image_size: size that your own images are resized to.
      classes: as in :func:`load`.

    Returns:
      The network, whose version includes the digest of the file.

    Raises:
      UserError: if the file is missing or damaged, or the classifier was trained on other images.
    """
    require_file(f"--judge: {str(path)!r}", path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(
            f"--judge: {str(path)!r} cannot be read ({error.strerror}); name the classifier.safetensors of a run of "
            "digit_classifier"
        ) from error
    return _parse(path, content, data, image_size=image_size, classes=classes)


def _parse(path: Path, content: bytes, data: str, *, image_size: int | None, classes: int | None) -> FeatureNetwork:
    digest, data_key = hashlib.sha256(content).hexdigest(), key(data, image_size)
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata()
        trained_on, kind = metadata["data"], CLASSIFIERS[metadata.get("network", "convolutional")]
        network = kind(classes=int(metadata["classes"]), width=int(metadata["width"]))
        tensors = {name: tensor.astype(np.float32) for name, tensor in parse(content).items()}
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path}: no classifier, or damaged ({error}); train digit_classifier again") from error
    if trained_on not in (data_key, data):  # older files store the path as given
        raise UserError(f"--judge: {str(path)!r} was trained on {trained_on!r}, but the samples are of {data_key!r}")
    if classes not in (None, network.classes):
        has = f"has {network.classes} classes, but {data!r} has {classes}"
        raise UserError(f"{path}: the classifier {has}; train digit_classifier again")
    version = VERSIONS[data] if digest == PINNED.get(data) else f"jaxgan-{data_key}-{digest[:8]}"
    return FeatureNetwork(version, partial(_extract, network, unflatten_dict(tensors, sep="/")))


def pixels() -> FeatureNetwork:
    """Makes the network for images without labels, for lack of a classifier: its features are pixels in [0, 1]."""

    def extract(images: Images) -> tuple[Features, None]:
        require_room(8 * images.size, source=f"--count: the comparison of {len(images):,} images by pixels")
        return images.reshape(len(images), -1).astype(np.float32) / 255, None

    return FeatureNetwork("pixels", extract)


def keep(path: Path, variables: PyTree, *, data: str, network: str, width: int, classes: int) -> Path:
    """Writes the weights of a classifier in half precision.

    Args:
      path: the file to write.
      variables: parameters and batch statistics.
      data: its training data, by :func:`jaxgan.data.key`.
      network: the kind of its layers, in :data:`jaxgan.nn.classifier.CLASSIFIERS`.
      width: the ``width`` of the network.
      classes: number of classes.

    Returns:
      The path.
    """
    tensors = {name: np.asarray(leaf, np.float16) for name, leaf in sorted(flatten_dict(variables, sep="/").items())}
    metadata = {"data": data, "network": network, "width": str(width), "classes": str(classes)}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(weight_files.encode(tensors, metadata))
    return path


def cached(data: str, image_size: int | None = None) -> Path:
    """The path of a data set's classifier in the user's cache."""
    home = expand(os.environ.get("XDG_CACHE_HOME") or "~/.cache", field="XDG_CACHE_HOME")
    return home / "jaxgan" / "classifiers" / f"{key(data, image_size)}.safetensors"


def _extract(network: nn.Module, variables: Any, images: Images) -> tuple[Features, Probabilities]:
    features, probabilities = [], []
    for start in range(0, len(images), FEATURE_BATCH):
        part = images[start : start + FEATURE_BATCH]
        padded = np.concatenate([part, np.zeros((FEATURE_BATCH - len(part), *part.shape[1:]), np.uint8)])
        outputs = jax.device_get(_apply(network, variables, padded))
        features.append(outputs[0][: len(part)])
        probabilities.append(outputs[1][: len(part)])
    return np.concatenate(features), np.concatenate(probabilities)


@partial(jax.jit, static_argnums=0)
def _apply(network: nn.Module, variables: Any, images: UInt8[jax.Array, "n height width channels"]):
    logits, features = network.apply(variables, images.astype(jnp.float32) / 127.5 - 1)
    return features, jax.nn.softmax(logits)
