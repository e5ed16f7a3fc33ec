"""From the folder of a run to a file and its manifest."""

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
    """Writes a run's networks to a file, whole or not at all, and a manifest of the same name and ``.json``.

    Args:
      folder: the run's, or the name of a trained generator of the package.
      format: one of ``FORMATS``.
      out: the file; None for one in the folder ``export`` of the run, or here.
      averaged: whether to take the averaged parameters, with which samples are drawn, where the run keeps any.
      replica: which replica, if there are several; None for the first.

    Returns:
      The file.

    Raises:
      UserError: if the format is unknown or its packages are missing, if there is no run of a generative method to
        read, or the file cannot be written.
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
            raise UserError(f"--out: {str(_manifest_of(out))!r}, where its manifest would lie, is a folder")
    run = load_run(folder, replica=replica)
    if run.method.generator is None:
        raise UserError(f"{str(folder)!r}: a run of {run.config.kind} draws no images, so there is nothing to export")
    encoded = chosen.encode(run, averaged)
    here = Path(f"{folder}{Path(chosen.file_name).suffix}") if is_pretrained(folder) else None
    made = out or here or folder / "export" / chosen.file_name
    about = {"file": made.name, "format": format, "parameters": parameters_taken(run, averaged=averaged)}
    with writing("--out", made):
        if out is None and here is None:
            made.parent.mkdir(exist_ok=True)
        write_atomically(made, encoded.content)  # first: where there is no room for it, what was there stays
        write_atomically(_manifest_of(made), json.dumps(about | manifest(run, encoded), indent=2) + "\n")
    return made


def manifest(run: LoadedRun, encoded: Encoded) -> dict[str, object]:
    """Tells what a file holds, to those who have nothing else of the run.

    Returns:
      A tree for JSON: the file's checksum, its model with the latents it takes and the images it gives, and the
      config, the step and the versions that it comes from.
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
