"""Your own pictures as a data set: a folder, a zip file, a NumPy file, IDX files, or arrays.

Subfolders are classes, or splits if they are named train and test. Without splits, a tenth of the images is held out by
a hash of their names, so that new pictures move no old one to the other split.
"""

import contextlib
import hashlib
import math
import os
import shlex
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int32
from PIL import Image, ImageOps

from jaxgan.data import arrays, cache, idx, picture_files
from jaxgan.data.catalog import ARRAYS, CATALOG, IDX_FILES, Spec
from jaxgan.data.dataset import Collection, Dataset, Records, Stream
from jaxgan.data.order import held_out
from jaxgan.data.picture_files import Pixels
from jaxgan.data.pixels import SIXTEEN_BITS
from jaxgan.data.prepared import Prepared, expand
from jaxgan.errors import UserError, require_file

MOST_BYTES = 2**33  # of images in memory
RULES = 3  # version of the code that reads pictures; caches of earlier versions are written again


def is_path(name: str) -> bool:
    """Whether the name of a data set is the path of your own pictures."""
    explicit = (
        os.path.isabs(name) or name.startswith((".", "~")) or Path(name).suffix.lower() in (".zip", ".npy", ".npz")
    )
    if name in (*CATALOG, ARRAYS):
        return False
    return explicit or (os.path.exists(name) and not _is_prepared(Path(name)))  # TFDS names may contain slashes, too


def _is_prepared(folder: Path) -> bool:
    """Whether a folder is a prepared TFDS data set, which has a folder for each version."""
    return any(folder.glob("*/dataset_info.json"))


def key(name: str, image_size: int | None = None) -> str:
    """Returns a file name for a data set: its name in the catalog, or a name with a digest of path and image size."""
    if not is_path(name):
        return name
    path = Path(name).expanduser().absolute()
    return f"{path.stem}-{zlib.crc32(os.fsencode(f'{path} {image_size}')):08x}"


def load(name: str, split: str, *, data_dir: Path, image_size: int | None = None) -> Dataset:
    """Loads one split of your own pictures, through a cache.

    Args:
      name: the path of the pictures.
      split: ``"train"`` or ``"test"``.
      data_dir: the folder for the cache.
      image_size: height and width to crop and resize to; None if all have the same size.

    Returns:
      The images.

    Raises:
      UserError: if the path holds no pictures, or one cannot be read.
    """
    collection = _open(name, image_size)
    rows, fingerprint = _rows(collection, split), _fingerprint(collection, image_size)
    spec = Spec(key(name, image_size), "own", name, "", class_names=collection.class_names)
    prepared = Prepared(data_dir / "own_pictures" / spec.name, f"{fingerprint} {RULES}")
    if (data := cache.read(spec, split, prepared=prepared)) is None:
        shape = collection.shape()
        if (size := len(rows) * math.prod(shape)) > MOST_BYTES:
            raise UserError(f"--data: {name!r} takes {size / 2**30:.1f} GiB of memory; add --input stream")
        data = Dataset(spec.name, collection.read(rows, shape), collection.labels[rows], collection.class_names)
        cache.write(spec, split, data, prepared=prepared)
        data = cache.read(spec, split, prepared=prepared) or data
    return data._replace(fingerprint=fingerprint)


def stream(name: str, split: str, *, image_size: int | None = None) -> Stream:
    """Opens one split of your own pictures for random access; see :func:`load`."""
    collection = _open(name, image_size)
    rows, shape = _rows(collection, split), collection.shape()

    def read(chosen: Records) -> tuple[Pixels, Int32[np.ndarray, " n"]]:
        numbers = rows[np.asarray(chosen, dtype=np.int64)]
        return collection.read(numbers, shape), collection.labels[numbers]

    return Stream(
        key(name, image_size), len(rows), shape, collection.class_names, read, _fingerprint(collection, image_size)
    )


def from_arrays(given: Any, *, image_size: int | None = None) -> tuple[Dataset, Dataset]:
    """Makes both splits from arrays in a program, by the rules for a NumPy file.

    Args:
      given: images, a data set, or a mapping as in an .npz file: "images" and optionally "labels", and optionally the
        held-out "test_images" and, if there are labels, "test_labels". Without these, a tenth is held out.
      image_size: height and width to crop and resize to; None if all have the same size.

    Returns:
      The training images and the held-out images.

    Raises:
      UserError: if an array does not hold such images or labels.
    """
    given = {"images": given.images, "labels": given.labels} if isinstance(given, Dataset) else given
    given = dict(given) if isinstance(given, Mapping) else {"images": given}
    try:
        found = {name: np.asarray(array) for name, array in given.items()}
    except (ValueError, TypeError, RuntimeError) as error:
        raise UserError(f"{ARRAYS}: it holds no arrays ({error}); give images, or a mapping of arrays") from error
    if masked := [name for name, array in given.items() if np.ma.isMaskedArray(array)]:
        raise UserError(f"{ARRAYS}: {masked[0]!r} has a mask, which would be ignored; fill it, as by array.filled(0)")
    collection, whole = _of_mapping(found, f"{ARRAYS}:", "", image_size)
    hashed = (whole, collection.labels, collection.in_test)
    content = [hashlib.sha256(np.ascontiguousarray(x).data).hexdigest() for x in hashed]
    facts = f"{whole.shape[:3]} {collection.class_names} {content}"
    fingerprint, shape = _fingerprint(collection._replace(facts=facts), image_size), collection.shape()
    train, test = (
        Dataset("arrays", collection.read(rows, shape), collection.labels[rows], collection.class_names, fingerprint)
        for rows in (_rows(collection, "train"), _rows(collection, "test"))
    )
    return train, test


def _rows(collection: Collection, split: str) -> np.ndarray:
    rows = np.flatnonzero(collection.in_test == (split == "test"))
    if split not in ("train", "test") or not len(rows):
        raise UserError(f"--data: there is no {split!r} split of your own pictures, choose 'train' or 'test'")
    return rows


def _fingerprint(collection: Collection, image_size: int | None) -> str:
    return hashlib.sha256(os.fsencode(f"{collection.facts}\n{image_size}")).hexdigest()


def _open(name: str, image_size: int | None) -> Collection:
    """Detects the format of a path; reads arrays, but only the names of pictures."""
    path = expand(name, field="--data").absolute()
    require_file(f"--data: {name!r}", path)
    with _named(name):
        if path.is_dir() and _gzipped_or_not(path / IDX_FILES["train"][0]):
            return _of_idx(
                name, [[path / file for file in IDX_FILES[split]] for split in ("train", "test")], image_size
            )
        if path.is_dir() and _is_prepared(path):
            way_out = f"--data {path.name} --data-dir {shlex.quote(str(path.parent))}"
            raise UserError(f"--data: {name!r} is a prepared TFDS data set; give {way_out}")
        if path.is_dir():
            return picture_files.collect(name, picture_files.in_folder(path), image_size)
        if path.suffix.lower() in (".npy", ".npz"):
            return _of_numpy(name, path, image_size)
        if "images-idx3" in path.name:
            return _of_idx(name, [[path, path.with_name(path.name.replace("images-idx3", "labels-idx1"))]], image_size)
        if zipfile.is_zipfile(path):
            return picture_files.collect(name, picture_files.in_zip(path), image_size)
        path.stat()  # raises if the path does not exist
    raise UserError(
        f"--data: {name!r} holds no images, it must be a folder or a zip of pictures, an .npy or .npz file, or an IDX "
        "file named ...images-idx3..."
    )


@contextlib.contextmanager
def _named(name: str) -> Iterator[None]:
    """Converts errors of the disk or of a zip file to a UserError that names the file."""
    try:
        yield
    except (OSError, zipfile.BadZipFile) as error:
        reason = getattr(error, "strerror", None) or error
        inside = getattr(error, "filename", None) or name
        known = f", or one of {', '.join(CATALOG)}" if isinstance(error, FileNotFoundError) else ""
        raise UserError(f"--data: {str(inside)!r} cannot be read ({reason}); give a path of pictures{known}") from error


def _of_numpy(name: str, path: Path, image_size: int | None) -> Collection:
    also = ("labels", "test_images", "test_labels")
    found = arrays.read(path, flag="--data", usual=("images", "samples", "arr_0"), also=also)
    return _of_mapping(found, f"--data: {name!r}:", picture_files.fact(path), image_size)[0]


def _of_mapping(
    given: Mapping[str, np.ndarray], source: str, facts: str, image_size: int | None
) -> tuple[Collection, Pixels]:
    """Makes a collection from named arrays; also returns all images as one array."""
    parts = ("", "test_") if "test_images" in given else ("",)
    kinds = ("images", "labels") if "labels" in given else ("images",)
    wanted = [f"{part}{kind}" for kind in kinds for part in parts]
    if given.keys() != set(wanted):
        held, needed = (", ".join(map(repr, names)) or "nothing" for names in (given, wanted))
        allowed = "'images', optionally 'labels', and optionally 'test_images' (and 'test_labels')"
        raise UserError(f"{source} it has {held}, but needs {needed}; allowed are {allowed}")
    images = [_bytes(given[f"{part}images"], file=f"{source} '{part}images'") for part in parts]
    labels = [given[f"{part}labels"] for part in parts] if "labels" in given else []
    return _of_arrays(f"{source} it", images, labels, facts, image_size)


def _bytes(images: np.ndarray, *, file: str) -> Pixels:
    """Converts images of any layout and dtype to uint8, with channels last if there are channels."""
    if images.dtype == bool:
        images = images * np.uint8(255)
    elif images.dtype.type is np.uint16 and images.size:  # in either byte order
        if images.max() < arrays.DARK * SIXTEEN_BITS:  # such as 12 bits
            most = images.max()
            raise UserError(f"{file} has 16-bit values of at most {most}, which look black; scale them, or give uint8")
        images = np.round(images / SIXTEEN_BITS).astype(np.uint8)
    elif np.issubdtype(images.dtype, np.integer) and images.size and images.min() >= 0 and images.max() <= 255:
        images = images.astype(np.uint8)
    if images.ndim == 4 and images.shape[1] in (1, 3) and images.shape[3] not in (1, 3):
        images = np.moveaxis(images, 1, -1)
    if images.ndim not in (3, 4) or (images.ndim == 4 and images.shape[3] not in (1, 3)):
        raise UserError(f"{file} has shape {images.shape}, it must be (n, height, width) with 1 or 3 channels")
    height, width, last = images.shape[-3:]
    if images.ndim == 3 and ((last == 3 < width) or (last in (1, 4) and min(height, width) > 7)):  # few are so narrow
        raise UserError(f"{file} has shape {images.shape}, which is one picture; give several, (n, height, width, 3)")
    if images.ndim == 3 and height == width != last:  # as MATLAB writes them
        raise UserError(
            f"{file} has shape {images.shape}, which is (height, width, n); move the last axis to the front"
        )
    return arrays.to_bytes(images, file=file)


def _gzipped_or_not(path: Path) -> Path | None:
    return next((file for file in (path, path.with_name(f"{path.name}.gz")) if file.is_file()), None)


def _of_idx(name: str, pairs: list[list[Path]], image_size: int | None) -> Collection:
    """Reads pairs of image and label files: one pair to be split, or one for each split."""
    images, labels, facts = [], [], ""
    for pair in pairs:
        for path, read in zip(pair, (images, labels), strict=True):
            if (file := _gzipped_or_not(path)) is not None:
                arrays.require_room(file.stat().st_size, source=f"--data: {str(file)!r}")
                source = f"--data: {str(file)!r}"
                content = idx.gunzip(file, file=source) if file.suffix == ".gz" else file.read_bytes()
                decoded = idx.decode(content, file=source)
                read.append(arrays.to_bytes(decoded, file=source) if read is images else decoded)
                facts += picture_files.fact(file)
    if len(images) != len(pairs) or len(labels) not in (0, len(pairs)):
        raise UserError(f"--data: {name!r} lacks some of {', '.join(path.name for pair in pairs for path in pair)}")
    return _of_arrays(f"--data: {name!r}", images, labels, facts, image_size)[0]


def _of_arrays(
    file: str, parts: list[np.ndarray], labels: list[np.ndarray], facts: str, image_size: int | None
) -> tuple[Collection, Pixels]:
    """Makes a collection from the images of both splits, or from images to be split; also returns them as one array."""
    if len({part.shape[1:] for part in parts}) > 1:
        raise UserError(f"{file} has images of {' and '.join(str(part.shape[1:]) for part in parts)}")
    images = np.concatenate(parts)
    if images.ndim not in (3, 4) or len(images) < 2 or not images.size:
        raise UserError(f"{file} has images of shape {images.shape}, it must be (n, height, width) with n at least 2")
    for part, classes in zip(parts, labels, strict=False):  # labels may be empty
        if classes.shape != part.shape[:1] or not np.issubdtype(classes.dtype, np.integer):
            raise UserError(
                f"{file} has labels of shape {classes.shape} and dtype {classes.dtype} for {len(part)} images, "
                "it must be one integer for each image"
            )
    height, width, channels = images.reshape(*images.shape[:3], -1).shape[1:]
    shape = (height, width, channels) if image_size is None else (image_size, image_size, channels)
    integers = [classes.astype(object) if classes.dtype == np.uint64 else classes for classes in labels]  # no floats
    values, numbers = np.unique(np.concatenate(integers) if labels else np.zeros(len(images), int), return_inverse=True)

    def read(rows: Records, shape: tuple[int, int, int]) -> Pixels:
        chosen = images[np.asarray(rows)]
        if image_size is not None:
            chosen = np.stack([_fit(image.reshape(height, width, channels), image_size) for image in chosen])
        return np.ascontiguousarray(chosen).reshape(-1, *shape)

    names = tuple(map(str, values)) if labels else ("image",)
    divided = np.arange(len(images)) >= len(parts[0])
    in_test = divided if len(parts) > 1 else held_out(list(map(str, range(len(images)))))
    return Collection(numbers.astype(np.int32), names, in_test, facts, lambda: shape, read), images


def _fit(image: np.ndarray, size: int) -> np.ndarray:
    picture = Image.fromarray(image.squeeze(-1) if image.shape[-1] == 1 else image)
    return np.asarray(ImageOps.fit(picture, (size, size), Image.Resampling.BILINEAR))
