"""Samples of a run, from the seed and labels asked for, written as a picture, as arrays or as many pictures."""

import io
import math
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Int, UInt8

from jaxgan.errors import UserError
from jaxgan.nn import noise
from jaxgan.runs.load import LoadedRun, load_run
from jaxgan.runs.workdir import write_atomically
from jaxgan.runtime.numerics import fixed_numerics
from jaxgan.runtime.program import ASSESS_STREAM, stream_key, to_bytes

BATCH = 500  # samples drawn together
MOST = 1_000_000  # samples: beyond it a number is a slip of the keyboard

Images = UInt8[np.ndarray, "count height width channels"]
Labels = Int[np.ndarray, " count"]


def draw(
    run: LoadedRun,
    *,
    count: int,
    seed: int = 0,
    labels: Sequence[int] | None = None,
    truncation: float | None = None,
    averaged: bool = True,
) -> tuple[Images, Labels | None]:
    """Draws samples: without labels and truncation those that ``jaxgan evaluate`` measures for the same seed.

    Args:
      run: whose.
      count: how many.
      seed: what they follow from; sample i depends on the seed and i alone.
      labels: the classes to draw, in turn; None for all of them. For conditional runs.
      truncation: factor on the latents, in [0, 1]; None for that of the run.
      averaged: whether to take the averaged parameters, where the run keeps any.

    Returns:
      The samples, and their labels; None if the run is unconditional.

    Raises:
      UserError: if the run draws no images, or none of these.
    """
    if run.method.generator is None:
        raise UserError(f"a run of {run.config.kind} draws no images")
    if not 1 <= count <= MOST:
        raise UserError(f"--count: {count} is not allowed, it must be at least 1 and at most {MOST}")
    if not 0 <= seed < 2**32:
        raise UserError(f"--seed: {seed} is not allowed, it must be at least 0 and below {2**32}")
    if truncation is not None and not 0 <= truncation <= 1:
        raise UserError(f"--truncation: {truncation:g} is not allowed, it must be at least 0 and at most 1")
    generator = run.method.generator(run.state if averaged else run.state.replace(averaged=None))
    in_turn = _labels(labels, generator.classes, run)
    factor = generator.truncation if truncation is None else truncation

    @jax.jit
    def batch(number: jax.Array, classes: tuple[jax.Array, ...]) -> jax.Array:
        key = jax.random.fold_in(stream_key(seed, ASSESS_STREAM), number)
        bits = noise.random_bits(key, jnp.arange(BATCH), count=generator.latent_size)
        latents = noise.truncate(generator.prior.draw(bits), generator.prior, factor)
        return to_bytes(generator.images(latents, *classes))

    numbers = range(-(-count // BATCH))
    given = None if in_turn is None else np.resize(in_turn, BATCH)  # each batch begins anew
    images = np.concatenate([batch(np.int32(n), () if given is None else (given,)) for n in numbers])[:count]
    return images, None if given is None else np.tile(given, len(numbers))[:count]


def _labels(chosen: Sequence[int] | None, classes: int, run: LoadedRun) -> Labels | None:
    if not classes:
        if chosen is not None:
            raise UserError("--labels: this run is unconditional, it draws any class; train one with --conditional")
        return None
    if chosen is None:
        return np.arange(classes, dtype=np.int32)
    for label in chosen:
        if not 0 <= label < classes:
            raise UserError(f"--labels: {label} is not allowed, the classes are 0 to {classes - 1}")
    return np.asarray(chosen, np.int32)


@fixed_numerics()
def sample_run(folder: Path, *, out: Path | None = None, best: bool = False, **options: Any) -> Path:
    """Draws samples of a run and writes them.

    Args:
      folder: the run's.
      out: a file .png for one picture, .npy or .npz for arrays; any other name for a folder of pictures, which must not
        exist. None for ``drawn.png`` in the run's folder.
      best: whether to take the checkpoint that ``--keep-best`` kept.
      **options: see :func:`draw`.

    Returns:
      What was written.

    Raises:
      UserError: as :func:`draw`, or if there is no such run, or ``out`` cannot be written.
    """
    out = folder / "drawn.png" if out is None else out
    require_target(out)
    images, labels = draw(load_run(folder, best=best), **options)
    try:
        write(images, labels, out)
    except OSError as error:
        raise UserError(f"--out: {str(out)!r} cannot be written ({error.strerror or error})") from error
    return out


def require_target(out: Path) -> None:
    """Refuses what samples cannot be written to, before any work."""
    if not os.path.isdir(out.parent):
        raise UserError(f"--out: {str(out)!r} cannot be written, {str(out.parent)!r} is not a folder")
    if os.path.isdir(out) if out.suffix in (".png", ".npy", ".npz") else os.path.lexists(out):
        raise UserError(f"--out: {str(out)!r} exists already; give another name")
    if out.suffix not in (".png", ".npy", ".npz", ""):
        raise UserError(f"--out: {str(out)!r} has the suffix {out.suffix!r}, choose from .png, .npy, .npz, or a folder")


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
