"""A run at a remote address, gs://, s3:// or any other that fsspec supports: its manifest, uploads and downloads.

The manifest ``mirror.json`` lists all files of a run. It is written after the files, and files that it no longer lists
are deleted after it. A reader therefore never takes half a checkpoint for a whole one, whenever the run is killed. A
hidden copy of the manifest in the local folder records the last upload or download.

Object stores lack:

- Locks. The run that started last writes its token, and an earlier run that finds it ends at its next upload. Between
  that check and its upload both may write.
- Atomic updates of several files. Logs are replaced one by one before ``mirror.json``, so they may be ahead of the
  newest checkpoint: a resumed run drops those rows. With ``file://`` a kill may truncate such a file.
"""

import contextlib
import hashlib
import json
import os
import secrets
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from jaxgan.errors import MACHINE_FAULTS, UserError
from jaxgan.runs.digests import first_line
from jaxgan.runs.workdir import Workdir, clear, locked, write_atomically

NAME, RECORD = "mirror.json", ".mirror.json"  # the manifest; its copy in the local folder
SAVED = {"checkpoints": 2, "best": 1}  # folders of checkpoints, and how many each keeps


class Held(NamedTuple):
    """The manifest at an address: the token of the run that writes there, its host, and digests of files by name."""

    token: str
    host: str
    files: Mapping[str, str]


class Store(NamedTuple):
    """An address, its file system, and the path there."""

    address: str
    system: Any
    root: str

    def path(self, name: str) -> str:
        """The path of a file of the run."""
        return f"{self.root}/{name}"


class Taken(Exception):
    """The address no longer belongs to this run."""


@contextmanager
def opened(address: str) -> Iterator[Store]:
    """Opens an address, and names it in errors that are raised inside.

    Raises:
      UserError: if the address cannot be reached.
      OSError: if the local disk is full or broken.
    """
    import fsspec
    from fsspec.registry import known_implementations

    scheme, hint = address.partition(":")[0], ""
    try:
        options = {"auto_mkdir": True} if scheme in ("file", "local") else {}
        system, root = fsspec.url_to_fs(address, **options)
        yield Store(address, system, root.rstrip("/"))
    except UserError:
        raise
    except Exception as error:  # each file system raises its own
        if getattr(error, "errno", None) in MACHINE_FAULTS:
            raise
        package = known_implementations.get(scheme, {}).get("class", "").partition(".")[0]
        if isinstance(error, ImportError) and package != "fsspec":
            hint = f"; python -m pip install {package}"
        raise UserError(f"--workdir: {address!r} cannot be reached ({first_line(error)}){hint}") from error


def read(store: Store) -> Held | None:
    """Reads the manifest at an address; None if there is none. Raises UserError if it is damaged."""
    try:
        content = store.system.cat_file(store.path(NAME))
    except FileNotFoundError:
        return None
    try:
        held = Held(**json.loads(content))
        if any(os.path.isabs(name) or ".." in Path(name).parts for name in dict(held.files)):
            raise ValueError("it lists files outside of the run")
        return held
    except (ValueError, TypeError) as error:
        raise UserError(f"--workdir: {NAME} at {store.address!r} is damaged ({first_line(error)})") from error


def known(root: Path, address: str) -> Held | str | None:
    """Reads the record of a folder's last upload or download; a text if a download was interrupted, None without."""
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
        record = json.loads((root / RECORD).read_text())
        if record["address"] == address:
            return held if isinstance(held := record["held"], str) else Held(**held)
    return None


def take(store: Store, root: Path, held: Held | None) -> None:
    """Replaces the run in a folder by that at an address; raises FileNotFoundError if the latter changes meanwhile."""
    with locked(Workdir(root)):
        _remember(root, store.address, "on its way")
        for path in (Workdir(root).config, *Workdir(root).written()):
            clear(path)
        paths = {store.path(name): root / name for name in (held.files if held else ())}
        for path in paths.values():
            path.parent.mkdir(parents=True, exist_ok=True)
        if paths:
            store.system.get([*paths], [*map(str, paths.values())])
        _remember(root, store.address, held)


def give(store: Store, root: Path, held: Held) -> Held:
    """Uploads the files of a folder that changed since the last upload; returns the new manifest.

    Raises:
      Taken: if another run started there.
      FileNotFoundError: if a checkpoint was deleted meanwhile; the caller should retry.
      Exception: if the address cannot be written; each file system raises its own.
    """
    if known(root, store.address) != held:
        raise OSError("the folder was removed, moved or replaced")
    _require_own(store, held)
    files = _digests(root)
    if files == held.files:
        return held
    if new := [name for name, digest in files.items() if held.files.get(name) != digest]:
        store.system.put([str(root / name) for name in new], [*map(store.path, new)])
    if gone := next((name for name in files if not (root / name).exists()), None):
        raise FileNotFoundError(gone)
    _require_own(store, held)
    return _replace(store, root, held, held._replace(files=files))


def claim(store: Store, root: Path, *, resume: bool) -> Held:
    """Claims an address for the run in a folder.

    Args:
      store: the address.
      root: the folder, in sync with the address.
      resume: whether the run resumes; otherwise the files of an earlier run at the address are deleted.

    Returns:
      The new manifest.

    Raises:
      UserError: if the address holds something else, or another run has just written to it.
    """
    held = read(store)
    if held is None and (found := store.system.find(store.root, maxdepth=1)):
        raise UserError(f"--workdir: {store.address!r} holds {found[0]!r} but no run; give another address")
    if held != known(root, store.address):
        raise UserError(f"--workdir: {store.address!r} is in use by another run; give another address")
    files = held.files if held and resume else {}
    return _replace(store, root, held, Held(secrets.token_hex(8), socket.gethostname(), files))


def checkpoints(root: Path) -> list[Path]:
    """Lists the newest complete checkpoints in a folder; Orbax gives incomplete ones other names."""
    found = {folder: [p for p in (root / folder).glob("*") if p.name.isdigit()] for folder in SAVED}
    return [p for folder, count in SAVED.items() for p in sorted(found[folder], key=lambda p: int(p.name))[-count:]]


def _digests(root: Path) -> dict[str, str]:
    """Computes digests of all files in a folder, by name, except hidden files and older checkpoints."""
    tops = [*checkpoints(root), *(path for path in root.iterdir() if path.name not in SAVED)]
    files = [path for path in tops if path.is_file()]
    files += [Path(folder, name) for top in tops for folder, _, names in os.walk(top) for name in names]
    digests = {}
    for path in files:
        if not path.name.startswith("."):
            with path.open("rb") as file:
                digests[path.relative_to(root).as_posix()] = hashlib.file_digest(file, "sha256").hexdigest()
    return digests


def _require_own(store: Store, held: Held) -> None:
    current = read(store)
    if current is None or current.token != held.token:
        reason = f"another run on {current.host} started later" if current else "its files were deleted"
        raise Taken(f"{store.address!r} no longer belongs to this run, {reason}")


def _replace(store: Store, root: Path, before: Held | None, now: Held) -> Held:
    """Writes the new manifest of an address, and deletes files that it does not list."""
    store.system.pipe_file(store.path(NAME), json.dumps(now._asdict(), indent=1).encode())
    _remember(root, store.address, now)
    with contextlib.suppress(Exception):  # nobody reads files that stay
        store.system.invalidate_cache()
        found = [path for folder in SAVED for path in store.system.find(store.path(folder))]  # interrupted uploads, too
        names = [*(path.removeprefix(f"{store.root}/") for path in found), *(before.files if before else ())]
        for whole in {*map(_whole, names)} - {*map(_whole, now.files)}:
            store.system.rm(store.path(whole), recursive=True)
    return now


def _whole(name: str) -> str:
    """Returns the checkpoint that a file belongs to, or else the file."""
    parts = name.split("/")
    return "/".join(parts[:2]) if parts[0] in SAVED else name


def _remember(root: Path, address: str, held: Held | str | None) -> None:
    if held is None:
        (root / RECORD).unlink()
    else:
        what = held if isinstance(held, str) else held._asdict()
        write_atomically(root / RECORD, json.dumps({"address": address, "held": what}))
