"""Pictures in a folder or a zip file: their classes, their common shape, their pixels."""

import contextlib
import functools
import logging
import os
import stat
import warnings
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple

import numpy as np
from jaxtyping import UInt8
from PIL import Image, UnidentifiedImageError

from jaxgan.data.arrays import UNREADABLE
from jaxgan.data.dataset import Collection, Records
from jaxgan.data.order import held_out
from jaxgan.data.pixels import FORMATS, decode
from jaxgan.errors import UserError

KINDS = (".png", ".jpg", ".jpeg", ".jfif", ".webp", ".bmp", ".gif", ".tif", ".tiff")
UNREAD = (".heic", ".heif", ".avif", ".jxl", ".jp2", ".ppm", ".pgm", ".pbm", ".tga", ".svg")  # other formats
TRAIN, TEST = {"train", "training"}, {"test", "testing", "val", "valid", "validation", "dev", "eval"}  # folder names
MOST_BYTES = 2**28  # of one picture file
ORIENTATION = 0x0112  # EXIF tag; values 5 to 8 swap width and height

_warn_once = functools.cache(logging.getLogger(__name__).warning)  # each split opens the files

# Pillow logs what it then raises. Without a handler, Python would print that too.
logging.getLogger("PIL").addHandler(logging.NullHandler())

Pixels = UInt8[np.ndarray, "n height width channels"]


class Files(NamedTuple):
    """Pictures in a folder or a zip file, by name."""

    facts: dict[str, str]  # text that changes when the picture does
    sizes: dict[str, int]  # bytes of the file
    open: Callable[[str], IO[bytes]]  # opens a picture
    others: list[str]  # names of other files


def in_folder(path: Path) -> Files:
    """Lists the pictures in a folder and its subfolders, through links; skips hidden folders, and runs with figures."""

    def fail(error: OSError) -> None:
        raise error

    facts, sizes, others = {}, {}, []
    around = {str(path): {path.resolve(), *path.resolve().parents}}  # a link to one of them would be a cycle
    for root, folders, files in os.walk(path, onerror=fail, followlinks=True):
        if Path(root) != path and {"config.json", "metrics.jsonl"} <= set(files):
            folders.clear()
            continue
        above = around.pop(root)
        real = {name: Path(root, name).resolve() for name in folders if not _is_hidden(name)}
        folders[:] = [name for name in real if real[name] not in above]
        around |= {os.path.join(root, name): above | {real[name], *real[name].parents} for name in folders}
        for file in map(Path(root).joinpath, files):
            if _is_picture(file.name) and stat.S_ISREG(file.stat().st_mode):
                name = file.relative_to(path).as_posix()
                facts[name], sizes[name] = fact(file), file.stat().st_size
            else:
                others.append(file.relative_to(path).as_posix())
    return Files(facts, sizes, lambda name: (path / name).open("rb"), others)


def in_zip(path: Path) -> Files:
    """Lists the pictures in a zip file, without the name of a single top-level folder.

    Raises:
      BadZipFile: if the archive is damaged.
    """
    try:
        archive = zipfile.ZipFile(path)
    except UNREADABLE as error:  # zipfile raises many kinds for a damaged directory
        raise zipfile.BadZipFile(str(error)) from error
    entries = {info.filename.replace("\\", "/"): info for info in archive.infolist()}  # backslashes by Windows programs
    members = {name: info for name, info in entries.items() if _is_picture(name)}
    members = {name: info for name, info in members.items() if not any(map(_is_hidden, name.split("/")[:-1]))}
    others = [name for name in entries if name not in members]
    if len(tops := {name.split("/")[0] for name in members}) == 1 and all("/" in name for name in members):
        top = tops.pop()  # one folder was zipped
        members = {name.removeprefix(f"{top}/"): info for name, info in members.items()}
    facts = {name: f"{info.file_size} {info.CRC}" for name, info in members.items()}
    sizes = {name: info.file_size for name, info in members.items()}  # zipfile reads no more than these
    return Files(facts, sizes, lambda name: archive.open(members[name]), others)


def _is_hidden(folder: str) -> bool:
    return folder.startswith(".") or folder in ("__MACOSX", "__pycache__", "@eaDir")


def _is_picture(name: str) -> bool:
    path = PurePosixPath(name)
    return path.suffix.lower() in KINDS and not path.name.startswith(".")


def fact(file: Path) -> str:
    """Returns the size and time of a file, which change with its content."""
    status = file.stat()
    return f"{status.st_size} {status.st_mtime_ns}"


def collect(path: str, files: Files, image_size: int | None) -> Collection:
    """Sorts pictures into classes and splits by their names.

    Args:
      path: the folder or zip file, as the user wrote it.
      files: the pictures.
      image_size: height and width to crop and resize to; None if all have the same size.

    Returns:
      The collection, before any picture is decoded.

    Raises:
      UserError: if there are fewer than two pictures, or a picture is in no class, or a folder is not a split.
    """
    names = sorted(files.facts)
    if not names:
        raise UserError(f"--data: {path!r} holds no pictures ({', '.join(KINDS)})")
    parts = [PurePosixPath(name).parts for name in names]
    while len({part[0] for part in parts}) == 1 and all(len(part) > 2 for part in parts):
        parts = [part[1:] for part in parts]  # a single folder distinguishes nothing
    tops, in_test = {part[0].lower(): part[0] for part in parts if len(part) > 1}, None
    if tops.keys() & TRAIN and tops.keys() & TEST and all(len(part) > 1 for part in parts):
        if other := sorted(tops.keys() - TRAIN - TEST):
            raise UserError(f"--data: {path!r} has splits such as 'train', but {tops[other[0]]!r} is no split; move it")
        in_test = np.array([part[0].lower() in TEST for part in parts])
        parts = [part[1:] for part in parts]
    classes = sorted({part[0] for part in parts if len(part) > 1})
    if classes and (alone := next((name for name, part in zip(names, parts, strict=True) if len(part) == 1), None)):
        raise UserError(f"--data: {path!r} has classes such as {classes[0]!r}, but {alone!r} is in no class; move it")
    others = [other for other in map(PurePosixPath, files.others) if not any(map(_is_hidden, other.parts))]
    if unread := [str(other) for other in others if other.suffix.lower() in UNREAD]:
        words = "--data: %r holds %d pictures that cannot be read, such as %r; convert them to PNG or JPEG"
        _warn_once(words, path, len(unread), unread[0])
    if classes and any(other.name == "dataset.json" for other in others):
        _warn_once("--data: %r has a file 'dataset.json', whose labels are not read; its folders are classes", path)
    number = {name: i for i, name in enumerate(classes)}
    labels = np.array([number[part[0]] if classes else 0 for part in parts], np.int32)

    def shape() -> tuple[int, int, int]:
        return _common_shape(files, names, image_size)

    def read(rows: Records, shape: tuple[int, int, int]) -> Pixels:
        pixels = np.empty((len(rows), *shape), np.uint8)
        for i, row in enumerate(rows):
            with _picture_named(names[row]), files.open(names[row]) as file:
                pixels[i] = decode(file.read(), shape=shape, resized=image_size is not None, upright=True)
        return pixels

    if in_test is None and len(names) < 2:
        raise UserError(f"--data: {path!r} holds one picture, it must hold two: one to train on and one to test")
    facts = "\n".join(f"{name} {files.facts[name]}" for name in names)
    in_test = held_out(names) if in_test is None else in_test
    return Collection(labels, tuple(classes) or ("image",), in_test, facts, shape, read)


def _common_shape(files: Files, names: Sequence[str], image_size: int | None) -> tuple[int, int, int]:
    """Returns the common shape of all pictures from their headers: grey if all are grey, otherwise color."""
    grey, sizes = True, {}
    for name in names:
        # Pillow warns of huge pictures, which are refused below.
        with _picture_named(name), warnings.catch_warnings(action="ignore"), files.open(name) as file:
            if files.sizes[name] > MOST_BYTES:
                raise UserError(f"it has more than {MOST_BYTES:,} bytes")
            image = Image.open(file, formats=FORMATS)
            if getattr(image, "n_frames", 1) > 1 and image.format != "MPO":  # MPO: a phone's JPEG with a second view
                raise UserError("it is animated; give its frames as files")
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
            f"--data: {one!r} has {first[0]} x {first[1]} pixels and {other!r} has {second[0]} x {second[1]}; add "
            f"--image-size {min(*first, *second)} to crop and resize them"
        )
    ((width, height),) = sizes
    return height, width, channels


@contextlib.contextmanager
def _picture_named(name: str):
    """Converts all exceptions to a UserError that names the picture: Pillow raises many kinds for damaged files."""
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        if isinstance(error, UnidentifiedImageError):  # whose message is an object's address
            reason = f"it is damaged, or none of {', '.join(FORMATS)}"
        raise UserError(f"--data: {name!r} cannot be read as a picture ({reason})") from error
