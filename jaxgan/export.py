"""A finished run's networks in one file, in a format that others read; a format is one function."""

import types
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import jax
from safetensors import numpy as safetensors

from jaxgan.config import to_json
from jaxgan.errors import UserError
from jaxgan.interop import weights
from jaxgan.runtime import finished
from jaxgan.runtime.finished import Finished
from jaxgan.runtime.workdir import write_atomically


class Format(NamedTuple):
    """How a run becomes a file."""

    file_name: str  # without --out
    encode: Callable[[Finished, bool], bytes]  # from the run and whether averaged parameters are wanted


def export(folder: Path, *, format: str, out: Path | None = None, averaged: bool = True) -> Path:
    """Writes a run's networks to a file, whole or not at all.

    Args:
      folder: the run's.
      format: one of ``FORMATS``.
      out: the file; None for one in the folder ``export`` of the run.
      averaged: whether to take the averaged parameters, with which samples are drawn, where the run keeps any.

    Returns:
      The file.

    Raises:
      UserError: if there is no run to read, or the file cannot be written.
    """
    chosen = FORMATS[format]
    if out is not None:
        _require_file(out, suffix=Path(chosen.file_name).suffix)
    content = chosen.encode(finished.load(folder), averaged)
    try:
        if out is None:
            out = folder / "export" / chosen.file_name
            out.parent.mkdir(exist_ok=True)
        write_atomically(out, content)
    except OSError as error:
        raise UserError(f"--out: {str(out)!r} cannot be written ({error.strerror or error})") from error
    return out


def torch_weights(run: Finished, averaged: bool) -> bytes:
    """Encodes parameters and batch statistics as a PyTorch module's ``load_state_dict`` takes them, in safetensors.

    Args:
      run: the run.
      averaged: whether to take the averaged parameters, where there are any.

    Returns:
      The file's content. Its metadata say which ``config`` (JSON), ``step`` and ``parameters`` they are: ``averaged``
      or ``last``.
    """
    taken = "averaged" if averaged and run.state.averaged is not None else "last"
    metadata = {"format": "pt", "config": to_json(run.config), "step": str(run.step), "parameters": taken}
    return safetensors.save(weights(jax.device_get(run.state), averaged=averaged), metadata=metadata)


FORMATS: Mapping[str, Format] = types.MappingProxyType({"torch": Format("weights.safetensors", torch_weights)})


def _require_file(out: Path, *, suffix: str) -> None:
    """Refuses a path that cannot become such a file, before any work is done for it."""
    if out.is_dir():
        raise UserError(
            f"--out: {str(out)!r} is a folder, name a file in it, such as {str(out / f'weights{suffix}')!r}"
        )
    if out.suffix.lower() != suffix:
        raise UserError(
            f"--out: {str(out)!r} has the suffix {out.suffix!r}, it must be {suffix!r}, "
            f"such as {str(out.with_suffix(suffix))!r}"
        )
    if not out.parent.is_dir():
        raise UserError(f"--out: {str(out)!r} cannot be written, {str(out.parent)!r} is not a folder")
