"""Pictures in the files of a folder, or of a zip of one: their classes, their common shape, their pixels."""

import contextlib
import os
import stat
import warnings
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from jaxgan.data.dataset import Collection, Records
from jaxgan.data.order import held_out
from jaxgan.data.pixels import decode
from jaxgan.errors import UserError

KINDS = (".png", ".jpg", ".jpeg", ".jfif", ".webp", ".bmp", ".gif", ".tif", ".tiff")
TRAIN, TEST = {"train", "training"}, {"test", "testing", "val", "valid", "validation", "dev", "eval"}  # of folders
MOST_BYTES = 2**28  # of the file of a picture
ORIENTATION = 0x0112  # in EXIF; from 5 to 8 width and height are exchanged

Pixels = UInt8[np.ndarray, "n height width channels"]


class Files(NamedTuple):
    """Pictures in a folder or a zip: by name what changes when they do, and their bytes; and how to open one."""

    facts: dict[str, str]
    sizes: dict[str, int]
    open: Callable[[str], IO[bytes]]


def in_folder(path: Path) -> Files:
    """Lists the pictures of a folder and of those in it, by links too, but hidden ones and runs, which have figures."""

    def fail(error: OSError) -> None:
        raise error

    facts, sizes = {}, {}
    for root, folders, files in os.walk(path, onerror=fail, followlinks=True):
        here = Path(root).resolve()
        if Path(root) != path and {"config.json", "metrics.jsonl"} <= set(files):
            folders.clear()
            continue
        around = (here, *here.parents)  # a link to one of them would lead back here
        folders[:] = [name for name in folders if not _is_hidden(name) and (here / name).resolve() not in around]
        for file in map(Path(root).joinpath, files):
            if _is_picture(file.name) and stat.S_ISREG(file.stat().st_mode):
                name = file.relative_to(path).as_posix()
                facts[name], sizes[name] = fact(file), file.stat().st_size
    return Files(facts, sizes, lambda name: (path / name).open("rb"))


def in_zip(path: Path) -> Files:
    """Lists the pictures of a zip; if that is of one folder, its name is left out."""
    archive = zipfile.ZipFile(path)
    found = {info.filename.replace("\\", "/"): info for info in archive.infolist()}  # as some Windows programs write
    members = {name: info for name, info in found.items() if _is_picture(name)}
    members = {name: info for name, info in members.items() if not any(map(_is_hidden, name.split("/")[:-1]))}
    if len(tops := {name.split("/")[0] for name in members}) == 1 and all("/" in name for name in members):
        top = tops.pop()  # what was zipped is one folder
        members = {name.removeprefix(f"{top}/"): info for name, info in members.items()}
    facts = {name: f"{info.file_size} {info.CRC}" for name, info in members.items()}
    sizes = {name: info.file_size for name, info in members.items()}  # no more are read, whatever there is
    return Files(facts, sizes, lambda name: archive.open(members[name]))


def _is_hidden(folder: str) -> bool:
    return folder.startswith((".", "__"))


def _is_picture(name: str) -> bool:
    path = PurePosixPath(name)
    return path.suffix.lower() in KINDS and not path.name.startswith(".")


def fact(file: Path) -> str:
    """Size and time of a file, which change with its content."""
    status = file.stat()
    return f"{status.st_size} {status.st_mtime_ns}"


def collect(path: str, files: Files, image_size: int | None) -> Collection:
    """Sorts pictures into classes and splits by their names.

    Args:
      path: what holds them, as the user wrote it.
      files: the pictures.
      image_size: height and width to crop and resize to; None where all have one size.

    Returns:
      The collection; no picture is decoded yet.

    Raises:
      UserError: if there are none, or one stands beside folders that are classes, or a folder beside splits.
    """
    names = sorted(files.facts)
    if not names:
        raise UserError(f"--data: {path!r} holds no pictures ({', '.join(KINDS)})")
    parts = [PurePosixPath(name).parts for name in names]
    tops, in_test = {part[0].lower(): part[0] for part in parts if len(part) > 1}, None
    if len(tops) == 1 and all(len(part) > 2 for part in parts):
        parts = [part[1:] for part in parts]  # one folder tells nothing apart
    elif tops.keys() & TRAIN and tops.keys() & TEST and all(len(part) > 1 for part in parts):
        if other := sorted(tops.keys() - TRAIN - TEST):
            raise UserError(f"--data: {path!r} has splits such as 'train', and {tops[other[0]]!r} is none; move it")
        in_test = np.array([part[0].lower() in TEST for part in parts])
        parts = [part[1:] for part in parts]
    classes = sorted({part[0] for part in parts if len(part) > 1})
    if classes and (alone := next((name for name, part in zip(names, parts, strict=True) if len(part) == 1), None)):
        raise UserError(f"--data: {path!r} has classes such as {classes[0]!r}, and {alone!r} is in none; move it")
    number = {name: i for i, name in enumerate(classes)}
    labels = np.array([number[part[0]] if classes else 0 for part in parts], np.int32)

    def shape() -> tuple[int, int, int]:
        return _common_shape(files, names, image_size)

    def read(rows: Records, shape: tuple[int, int, int]) -> Pixels:
        found = np.empty((len(rows), *shape), np.uint8)
        for i, row in enumerate(rows):
            with _picture_named(names[row]), files.open(names[row]) as file:
                found[i] = decode(file.read(), shape=shape, resized=image_size is not None, upright=True)
        return found

    if in_test is None and len(names) < 2:
        raise UserError(f"--data: {path!r} holds one picture, it takes two: one to train on and one to test")
    facts = "\n".join(f"{name} {files.facts[name]}" for name in names)
    in_test = held_out(names) if in_test is None else in_test
    return Collection(labels, tuple(classes) or ("image",), in_test, facts, shape, read)


def _common_shape(files: Files, names: Sequence[str], image_size: int | None) -> tuple[int, int, int]:
    """The shape of all pictures by their headers: grey if all are, else in colours."""
    grey, sizes = True, {}
    for name in names:
        # Huge pictures are refused below, in one line.
        with _picture_named(name), warnings.catch_warnings(action="ignore"), files.open(name) as file:
            if files.sizes[name] > MOST_BYTES:
                raise UserError(f"it has more than {MOST_BYTES:,} bytes")
            image = Image.open(file)
            if getattr(image, "n_frames", 1) > 1 and image.format != "MPO":  # a phone's JPEG with a second view
                raise UserError("it is animated, give its frames as files")
            if image.width * image.height > (most := Image.MAX_IMAGE_PIXELS or 2**27):
                raise UserError(f"it has {image.width} x {image.height} pixels, more than {most:,}")
            grey &= image.mode[0] in "1LIF" and image.mode != "LAB"
            turned = image.getexif().get(ORIENTATION) in (5, 6, 7, 8)
            sizes.setdefault(image.size[::-1] if turned else image.size, name)
    channels = 1 if grey else 3
    if image_size is not None:
        return image_size, image_size, channels
    if len(sizes) > 1:
        (first, one), (second, other) = list(sizes.items())[:2]
        raise UserError(
            f"--data: {one!r} is of {first[0]} x {first[1]} pixels and {other!r} of {second[0]} x {second[1]}; add "
            f"--image-size {min(*first, *second)} to crop and resize them"
        )
    ((width, height),) = sizes
    return height, width, channels


@contextlib.contextmanager
def _picture_named(name: str):
    """Names the picture that cannot be read: Pillow raises all kinds of exceptions for damaged ones."""
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"--data: {name!r} cannot be read as a picture ({reason})") from error
