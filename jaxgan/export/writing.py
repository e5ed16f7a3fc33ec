"""Writes the export of a run and its manifest."""

import hashlib
import json
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import jaxgan
from jaxgan.config import to_json
from jaxgan.errors import UserError, require_target, unknown_choice, writing
from jaxgan.export.formats import FORMATS, Encoded, parameters_taken
from jaxgan.runs.load import LoadedRun, is_pretrained, load_run
from jaxgan.runs.workdir import write_atomically
from jaxgan.runtime.numerics import fixed_numerics


@fixed_numerics()
def export(
    folder: Path, *, format: str, out: Path | None = None, averaged: bool = True, replica: int | None = None
) -> Path:
    """Writes the networks of a run to a file, atomically, and a manifest with ``.json`` appended to the name.

    Args:
      folder: the workdir of the run, or the name of a pretrained generator.
      format: one of ``FORMATS``.
      out: the file; None for one in the folder ``export`` of the workdir, or in the working directory for a pretrained
        generator.
      averaged: whether to export the averaged parameters, which samples use, if the run has them.
      replica: the index of the replica; None for the first.

    Returns:
      The file.

    Raises:
      UserError: if the format is unknown, its packages are missing, the folder holds no run of a generative method, or
        the file cannot be written.
      OSError: if the disk is full or broken.
    """
    if format not in FORMATS:
        raise unknown_choice("--format", format, FORMATS)
    chosen = FORMATS[format]
    if missing := [name for name in chosen.needs if find_spec(name) is None]:
        raise UserError(
            f"--format: {format!r} needs {' and '.join(missing)}, not installed; "
            "run python -m pip install -e '.[export]'"
        )
    if out is not None:
        require_target("--out", out, usual=chosen.file_name, suffixes=(Path(chosen.file_name).suffix,))
        if _manifest_of(out).is_dir():
            raise UserError(f"--out: {str(_manifest_of(out))!r}, the path of its manifest, is a folder")
    run = load_run(folder, replica=replica)
    if run.method.generator is None:
        raise UserError(f"{str(folder)!r}: a run of {run.config.kind} draws no images, so there is nothing to export")
    encoded = chosen.encode(run, averaged)
    here = Path(f"{folder}{Path(chosen.file_name).suffix}") if is_pretrained(folder) else None
    target = out or here or folder / "export" / chosen.file_name
    about = {"file": target.name, "format": format, "parameters": parameters_taken(run, averaged=averaged)}
    with writing("--out", target):
        if out is None and here is None:
            target.parent.mkdir(exist_ok=True)
        write_atomically(target, encoded.content)  # before the manifest: if the disk is full, the old pair stays
        write_atomically(_manifest_of(target), json.dumps(about | manifest(run, encoded), indent=2) + "\n")
    return target


def manifest(run: LoadedRun, encoded: Encoded) -> dict[str, object]:
    """Describes an exported file, for users without the run.

    Returns:
      A JSON tree: the checksum of the file, the model with its latents and images, and the config, step and versions of
      the run.
    """
    versions = {"jaxgan": jaxgan.__version__} | {name: version(name) for name in ("jax", "flax")}
    versions |= encoded.about.get("versions", {})
    return {
        "sha256": hashlib.sha256(encoded.content).hexdigest(),
        "model": run.config.method.title,
        **encoded.about,
        "run": {"step": run.step, "config": json.loads(to_json(run.config))},
        "versions": versions,
    }


def _manifest_of(out: Path) -> Path:
    return out.with_name(f"{out.name}.json")
