"""Sources of the IDX files of a data set: a folder, the archive in the package, the network."""

import lzma
import os
import tarfile
import urllib.request
from importlib.resources.abc import Traversable
from pathlib import Path

from jaxgan.data import tfds_directory
from jaxgan.data.catalog import IDX_FILES, Spec
from jaxgan.data.dataset import Dataset
from jaxgan.data.idx import assemble, gunzip
from jaxgan.errors import UserError

_PROBE_SECONDS = 3.0


def fetch(spec: Spec, *, source: Path | None, scratch: Path) -> dict[str, Dataset]:
    """Reads a data set from the nearest source: the folder, the archive in the package, or the network.

    Args:
      spec: the data set.
      source: a folder of IDX files; None for the archive, or else the network.
      scratch: a folder for downloads, which the caller removes.

    Returns:
      The data by split, in the order of the IDX files.

    Raises:
      UserError: if the source is missing or unreachable, or holds other files.
    """
    if source is not None:
        return assemble(spec, read_folder(source, spec=spec), origin=str(source))
    if spec.archive is not None and spec.archive.is_file():
        return assemble(spec, read_archive(spec.archive, spec=spec), origin=spec.archive.name)
    return assemble(spec, download(spec, scratch=scratch), origin="download")


def read_archive(archive: Traversable, *, spec: Spec) -> dict[str, bytes]:
    """Unpacks the IDX files of a tar.xz in memory."""
    try:
        with archive.open("rb") as stream, tarfile.open(fileobj=stream, mode="r:xz") as members:
            return {name: _read_member(members, name) for name in file_names(spec)}
    except KeyError as error:
        raise UserError(f"{archive.name}: the embedded archive lacks a file ({error.args[0]})") from error
    except (OSError, EOFError, tarfile.TarError, lzma.LZMAError) as error:
        raise UserError(f"{archive.name}: the embedded archive is damaged ({error}); reinstall jaxgan") from error


def _read_member(members: tarfile.TarFile, name: str) -> bytes:
    file = members.extractfile(name)
    if file is None:
        raise KeyError(f"{name!r} is not a file")
    return file.read()


def read_folder(folder: Path, *, spec: Spec) -> dict[str, bytes]:
    """Reads the IDX files from a folder, gzipped or not."""
    require_folder(folder, spec=spec)
    return {name: _read_file(folder, name) for name in file_names(spec)}


def require_folder(folder: Path, *, spec: Spec) -> None:
    """Checks that a source is a readable folder."""
    try:
        os.scandir(folder).close()
    except OSError as error:
        raise UserError(
            f"--from: {str(folder)!r} is not a folder, or not readable ({error.strerror}), "
            f"expected one with {', '.join(file_names(spec))}"
        ) from error


def download(spec: Spec, *, scratch: Path) -> dict[str, bytes]:
    """Downloads the IDX files by TFDS, which verifies its recorded checksums."""
    urls = {name: f"{tfds_directory.url(spec)}{name}.gz" for name in file_names(spec)}
    _probe(spec, next(iter(urls.values())))
    return {name: gunzip(path) for name, path in tfds_directory.download(spec, urls, folder=scratch).items()}


def file_names(spec: Spec) -> tuple[str, ...]:
    """Returns the canonical names of the IDX files of a data set."""
    return tuple(name for split in spec.examples for name in IDX_FILES[split])


def _read_file(folder: Path, name: str) -> bytes:
    plain, zipped = folder / name, folder / f"{name}.gz"
    try:
        if plain.is_file():
            return plain.read_bytes()
        if zipped.is_file():
            return gunzip(zipped)
    except OSError as error:
        raise UserError(f"--from: {error.filename} cannot be read ({error.strerror})") from error
    raise UserError(f"--from: {str(folder)!r} lacks {name} (or {name}.gz)")


def _probe(spec: Spec, url: str) -> None:
    # Fails fast: TFDS retries an unreachable host for minutes.
    try:
        with urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=_PROBE_SECONDS):
            pass
    except OSError as error:
        reason = getattr(error, "reason", error)
        raise UserError(
            f"--data: {spec.name!r} is not prepared and {url} is unreachable ({reason}); name a prepared --data-dir, "
            f"run `jaxgan data prepare {spec.name} --from DIR` on a folder of its IDX files, "
            "or use --data mnist, which needs no network"
        ) from error
