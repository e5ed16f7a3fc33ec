"""Samples of a run, written as a picture, as arrays or as many pictures."""

import io
import math
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from jaxgan.errors import UserError, writing
from jaxgan.runs.load import Images, Labels, draw, load_run
from jaxgan.runs.workdir import write_atomically
from jaxgan.runtime.numerics import fixed_numerics

FILES = (".png", ".npy", ".npz")


@fixed_numerics()
def sample_run(
    folder: Path, *, out: Path | None = None, best: bool = False, replica: int | None = None, **options: Any
) -> Path:
    """Draws samples of a run and writes them.

    Args:
      folder: the run's.
      out: a file .png for one picture, .npy or .npz for arrays; a name without a suffix for a folder of pictures, which
        must not exist. None for ``drawn.png`` in the run's folder.
      best: whether to take the checkpoint that ``--keep-best`` kept.
      replica: which replica draws, if there are several; None for the first.
      **options: see :func:`draw`.

    Returns:
      What was written.

    Raises:
      UserError: as :func:`draw`, or if there is no such run, or ``out`` cannot be written.
    """
    out = folder / "drawn.png" if out is None else out
    require_target(out)
    images, labels = draw(load_run(folder, best=best, replica=replica), **options)
    with writing("--out", out):
        write(images, labels, out)
    return out


def require_target(out: Path) -> None:
    """Refuses what samples cannot be written to, before any work."""
    if not os.path.isdir(out.parent):
        raise UserError(f"--out: {str(out)!r} cannot be written, {str(out.parent)!r} is not a folder")
    if out.suffix not in (*FILES, ""):
        raise UserError(f"--out: {str(out)!r} has the suffix {out.suffix!r}, choose from .png, .npy, .npz, or a folder")
    in_the_way = os.path.isdir(out) if out.suffix else os.path.lexists(out)  # a file is replaced
    if in_the_way:
        raise UserError(f"--out: {str(out)!r} exists already; give another name")


def write(images: Images, labels: Labels | None, out: Path) -> None:
    """Writes samples whole or not at all; the suffix says as what."""
    if out.suffix == ".png":
        columns = math.isqrt(len(images) - 1) + 1
        write_atomically(out, _png(_sheet(images, columns)))
    elif out.suffix:
        content = io.BytesIO()
        if out.suffix == ".npy":
            np.save(content, images)
        else:
            arrays = {"images": images} | ({} if labels is None else {"labels": labels})
            np.savez(content, allow_pickle=False, **arrays)
        write_atomically(out, content.getvalue())
    else:
        place = out.with_name(f".{out.name}.{os.getpid()}")
        place.mkdir()
        try:
            for number, image in enumerate(images):
                (place / f"{number:06d}.png").write_bytes(_png(image))
            place.rename(out)
        except OSError:
            shutil.rmtree(place, ignore_errors=True)
            raise


def _sheet(images: Images, columns: int) -> UInt8[np.ndarray, "rows cols channels"]:
    """A square of images, white where there are none left."""
    from jaxgan.figures.images import tile  # matplotlib takes a second

    missing = -len(images) % columns
    white = np.full((missing, *images.shape[1:]), 255, np.uint8)
    return tile(np.concatenate([images, white]), columns=columns)


def _png(image: UInt8[np.ndarray, "height width channels"]) -> bytes:
    from PIL import Image

    content = io.BytesIO()
    Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(content, format="png")
    return content.getvalue()
