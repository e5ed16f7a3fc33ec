"""Inspects prepared TFDS directories, without TFDS."""

import dataclasses
import hashlib
import json
import os
import re
from pathlib import Path

from jaxgan.data.catalog import Spec
from jaxgan.errors import UserError, unknown_choice
from jaxgan.fields import require_local

_READABLE_FORMAT = "array_record"  # the only format with random access that TFDS reads without TensorFlow


@dataclasses.dataclass(frozen=True)
class Prepared:
    """A prepared directory."""

    directory: Path  # ``<data_dir>/<name>/<version>``
    fingerprint: str  # changes when the directory is rebuilt; the key of caches


def default_data_dir() -> Path:
    """Returns the default folder of TFDS: ``TFDS_DATA_DIR``, or ``~/tensorflow_datasets``."""
    configured = os.environ.get("TFDS_DATA_DIR")
    return expand(configured or "~/tensorflow_datasets", field="TFDS_DATA_DIR" if configured else "--data-dir")


def expand(path: str | os.PathLike[str], *, field: str) -> Path:
    """Expands a leading ``~`` in a path.

    Args:
      path: as the user wrote it.
      field: the flag or environment variable, for errors.

    Returns:
      The path without ``~``.

    Raises:
      UserError: if there is no such home folder, or the path is an address.
    """
    require_local(field, path)
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise UserError(f"{field}: {str(path)!r} starts with a home folder that does not exist") from error


def require_reachable(data_dir: Path) -> None:
    """Checks that the root of prepared data sets is accessible, if it exists.

    Raises:
      UserError: if its name is too long, or the user lacks permission.
    """
    try:
        os.stat(f"{data_dir}/.")  # the dot requires the permission to enter
    except (FileNotFoundError, NotADirectoryError):
        pass
    except OSError as error:
        raise UserError(f"--data-dir: {str(data_dir)!r} cannot be entered ({error.strerror}), name another") from error


def directory_of(spec: Spec, data_dir: Path) -> Path:
    """Returns the prepared directory of a data set, which need not exist."""
    return data_dir / spec.name / spec.version


def inspect(spec: Spec, data_dir: Path) -> Prepared | None:
    """Looks for a data set that this package or TFDS has prepared.

    Args:
      spec: the data set.
      data_dir: the root of prepared data sets.

    Returns:
      The prepared directory; None if there is none.

    Raises:
      UserError: if the directory exists but cannot be used.
    """
    directory = directory_of(spec, data_dir)
    try:
        directory.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise UserError(f"{directory}: cannot be entered ({error.strerror}), name another --data-dir") from error
    try:
        metadata = [(directory / file).read_bytes() for file in ("dataset_info.json", "features.json")]
        info = json.loads(metadata[0])
        formats = {info.get("fileFormat", "tfrecord"), *info.get("alternativeFileFormats", ())}
        lengths = {split["name"]: [int(n) for n in split["shardLengths"]] for split in info["splits"]}
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise UserError(
            f"{directory}: not a prepared data set, remove it or name another --data-dir ({error})"
        ) from error
    if _READABLE_FORMAT not in formats:
        way_out = f"name another --data-dir to have it prepared as {_READABLE_FORMAT} there"
        raise UserError(
            f"{directory}: prepared as {', '.join(sorted(formats))}, which cannot be read without TensorFlow; "
            + (way_out if spec.idx else f"remove it, and {how_to_build(spec, data_dir)}")
        )
    shards = []
    for split, count in spec.examples.items():
        found, total = sum(lengths.get(split, [])), len(lengths.get(split, []))
        if found != count:
            raise UserError(f"{directory}: has {found:,} {split} images, but {spec.name} has {count:,}; remove it")
        shards += [
            f"{Path(spec.name).parts[0]}-{split}.{_READABLE_FORMAT}-{i:05d}-of-{total:05d}" for i in range(total)
        ]
    return Prepared(directory, _fingerprint(directory, metadata, shards))


def completed(spec: Spec, data_dir: Path) -> Spec:
    """Reads the version and splits of a data set outside of the catalog from its newest directory.

    Args:
      spec: its properties without a version; with a version, they are returned unchanged.
      data_dir: the root of prepared data sets.

    Returns:
      The properties with version and number of examples by split.

    Raises:
      UserError: if it is not prepared, or its directory is damaged.
    """
    if spec.version:
        return spec
    infos = (data_dir / spec.name).glob("*/dataset_info.json")
    newest = max(
        infos, default=None, key=lambda path: [int(number) for number in re.findall("[0-9]+", path.parent.name)]
    )
    if newest is None:
        configs = {
            f"{spec.name}/{path.parents[1].name}" for path in (data_dir / spec.name).glob("*/*/dataset_info.json")
        }
        raise unknown_choice("--data", spec.name, configs) if configs else unprepared(spec, data_dir)
    try:
        splits = json.loads(newest.read_bytes())["splits"]
        examples = {split["name"]: sum(map(int, split["shardLengths"])) for split in splits}
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise UserError(f"{newest}: damaged, have TFDS prepare it again ({error!r})") from error
    return dataclasses.replace(spec, version=newest.parent.name, examples=examples)


def unprepared(spec: Spec, data_dir: Path) -> UserError:
    """Returns the error for an unprepared data set that only TFDS can prepare."""
    return UserError(f"--data: {spec.name!r} is not prepared in {str(data_dir)!r}; {how_to_build(spec, data_dir)}")


def how_to_build(spec: Spec, data_dir: Path) -> str:
    """Returns a hint on preparing a data set with TFDS."""
    command = f"tfds build {spec.name} --file_format={_READABLE_FORMAT} --data_dir={data_dir}"
    return f"prepare it with TFDS, which needs network and tensorflow: {command}"


def _fingerprint(directory: Path, metadata: list[bytes], shards: list[str]) -> str:
    digest = hashlib.sha256(b"\0".join(metadata))
    for shard in shards:
        try:
            status = (directory / shard).stat()
        except OSError as error:
            raise UserError(f"{directory}: lacks {shard}, remove it to prepare it again") from error
        digest.update(f"{shard} {status.st_size} {status.st_mtime_ns}\n".encode())
    return digest.hexdigest()
