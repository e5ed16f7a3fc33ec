"""What is at an address, gs://, s3:// or any other for which fsspec has a file system, and how it comes and goes.

One object, ``mirror.json``, names all files of a run. It is written after them, and what it no longer names is deleted
after it: who reads it never takes half a checkpoint for a whole one, whenever the run is killed. A hidden copy in the
folder on disk says what it last gave to the address or took from it.

What cannot be had there:

- A lock. The run that began last writes its token, and an earlier one that finds it ends at its next upload. Between
  that look and its writing both may write.
- One moment for all files. Logs are replaced one by one before ``mirror.json``, so they may be ahead of the newest
  checkpoint: a run that goes on drops those rows. With ``file://`` a kill may cut such a file short.
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

NAME, RECORD = "mirror.json", ".mirror.json"  # the object that names the files; its copy in the folder
SAVED = {"checkpoints": 2, "best": 1}  # folders of checkpoints, and how many of them are kept


class Held(NamedTuple):
    """What is at an address: the token of the run that writes there, its host, and digests of its files by name."""

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
    """An address is not this run's any more."""


@contextmanager
def opened(address: str) -> Iterator[Store]:
    """Opens an address, and names it where something fails inside.

    Raises:
      UserError: if it cannot be reached.
      OSError: if the disk here is full or broken.
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
    except Exception as error:  # each file system has its own
        if getattr(error, "errno", None) in MACHINE_FAULTS:
            raise
        package = known_implementations.get(scheme, {}).get("class", "").partition(".")[0]
        if isinstance(error, ImportError) and package != "fsspec":
            hint = f"; python -m pip install {package}"
        raise UserError(f"--workdir: {address!r} cannot be reached ({first_line(error)}){hint}") from error


def read(store: Store) -> Held | None:
    """Reads what is at an address; None if no run is. Raises UserError if it is damaged."""
    try:
        content = store.system.cat_file(store.path(NAME))
    except FileNotFoundError:
        return None
    try:
        held = Held(**json.loads(content))
        if any(os.path.isabs(name) or ".." in Path(name).parts for name in dict(held.files)):
            raise ValueError("it names files elsewhere")
        return held
    except (ValueError, TypeError) as error:
        raise UserError(f"--workdir: {NAME} at {store.address!r} is damaged ({first_line(error)})") from error


def known(root: Path, address: str) -> Held | str | None:
    """What a folder last gave to an address or took from it, a text if that was cut short; None if it never did."""
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
        record = json.loads((root / RECORD).read_text())
        if record["address"] == address:
            return held if isinstance(held := record["held"], str) else Held(**held)
    return None


def take(store: Store, root: Path, held: Held | None) -> None:
    """Puts what is at an address in the place of the run in a folder; raises FileNotFoundError if that changes now."""
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
    """Uploads what differs in a folder from what its run last put at an address; returns what is there then.

    Raises:
      Taken: if another run began there.
      FileNotFoundError: if a checkpoint was deleted meanwhile; another try is in place.
      Exception: if it cannot be written; each file system has its own.
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
    """Makes an address that of the run in a folder.

    Args:
      store: the address.
      root: the folder, which is in step with it.
      resume: whether the run goes on; otherwise what an earlier one left there is deleted.

    Returns:
      What is there then.

    Raises:
      UserError: if something else is there, or another run has just written to it.
    """
    held = read(store)
    if held is None and (found := store.system.find(store.root, maxdepth=1)):
        raise UserError(f"--workdir: {store.address!r} holds {found[0]!r} but no run; give another address")
    if held != known(root, store.address):
        raise UserError(f"--workdir: another run is at work at {store.address!r}; give another address")
    files = held.files if held and resume else {}
    return _replace(store, root, held, Held(secrets.token_hex(8), socket.gethostname(), files))


def checkpoints(root: Path) -> list[Path]:
    """The newest complete checkpoints in a folder: Orbax renames those on which it works."""
    found = {folder: [p for p in (root / folder).glob("*") if p.name.isdigit()] for folder in SAVED}
    return [p for folder, count in SAVED.items() for p in sorted(found[folder], key=lambda p: int(p.name))[-count:]]


def _digests(root: Path) -> dict[str, str]:
    """Digests of all files of a folder but hidden ones and other checkpoints, by name."""
    tops = [*checkpoints(root), *(path for path in root.iterdir() if path.name not in SAVED)]
    files = [path for path in tops if path.is_file()]
    files += [Path(folder, name) for top in tops for folder, _, names in os.walk(top) for name in names]
    found = {}
    for path in files:
        if not path.name.startswith("."):
            with path.open("rb") as file:
                found[path.relative_to(root).as_posix()] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


def _require_own(store: Store, held: Held) -> None:
    there = read(store)
    if there is None or there.token != held.token:
        how = f"one on {there.host} began later" if there else "it was emptied"
        raise Taken(f"{store.address!r} is not this run's any more, {how}")


def _replace(store: Store, root: Path, before: Held | None, now: Held) -> Held:
    """Says what is at an address from now on, and deletes what is not."""
    store.system.pipe_file(store.path(NAME), json.dumps(now._asdict(), indent=1).encode())
    _remember(root, store.address, now)
    with contextlib.suppress(Exception):  # nobody reads what stays there
        store.system.invalidate_cache()
        found = [path for folder in SAVED for path in store.system.find(store.path(folder))]  # uploads cut short, too
        names = [*(path.removeprefix(f"{store.root}/") for path in found), *(before.files if before else ())]
        for whole in {*map(_whole, names)} - {*map(_whole, now.files)}:
            store.system.rm(store.path(whole), recursive=True)
    return now


def _whole(name: str) -> str:
    """The file, or the checkpoint that it is of."""
    parts = name.split("/")
    return "/".join(parts[:2]) if parts[0] in SAVED else name


def _remember(root: Path, address: str, held: Held | str | None) -> None:
    if held is None:
        (root / RECORD).unlink()
    else:
        what = held if isinstance(held, str) else held._asdict()
        write_atomically(root / RECORD, json.dumps({"address": address, "held": what}))
