"""Draws samples of a run, and writes them as a sample grid, as arrays, as a folder of pictures or as an animation."""

import io
import math
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from jaxgan.config import replica_configs
from jaxgan.data import ARRAYS
from jaxgan.errors import UserError, require_target, writing
from jaxgan.runs.load import (
    Images,
    Labels,
    draw,
    is_pretrained,
    load_run,
    named_as_a_folder,
    require_replica,
    require_run,
)
from jaxgan.runs.tracking import read_samples
from jaxgan.runs.workdir import Workdir, write_atomically
from jaxgan.runtime.numerics import fixed_numerics
from jaxgan.tiles import tile, to_png

ANIMATIONS = (".gif", ".webp", ".mp4")
WALK, TRAINING = 0.08, 0.8  # seconds per frame
IN_A_FRAME = 64  # samples per frame
LEAST_PIXELS, MOST_PIXELS = 256, 16_383  # height of an animation, and its largest side in all formats


@fixed_numerics()
def sample_run(
    folder: Path,
    *,
    out: Path | None = None,
    animate: Path | None = None,
    best: bool = False,
    step: int | None = None,
    replica: int | None = None,
    **options: Any,
) -> list[Path]:
    """Draws samples of a run and writes them.

    Args:
      folder: the working directory of the run, or the name of a pretrained generator.
      out: a .png file for one sample grid, .npy or .npz for arrays; a name without a suffix for a folder of pictures,
        which must not exist. None for ``drawn.png`` in the working directory, ``NAME.png`` in the current directory for
        a pretrained generator, or nothing with ``animate``.
      animate: a .gif, .webp or .mp4 file: with ``way`` the interpolated samples one after the other, otherwise the
        samples of the same latents that the run saved during training.
      best: whether to use the checkpoint that ``--keep-best`` kept.
      step: the step of the checkpoint; None for the newest.
      replica: the number of the replica, if there are several; None for the first.
      **options: see :func:`draw`. The default of labels is ``"data"`` for arrays and folders.

    Returns:
      The paths that were written.

    Raises:
      UserError: as :func:`draw`, or if there is no such run, or a file cannot be written.
    """
    if out is not None:
        require_target("--out", out, usual="drawn.png", suffixes=(".png", ".npy", ".npz", ""))
    elif animate is None:
        out = Path(f"{folder}.png") if is_pretrained(folder) else folder / "drawn.png"
    if animate is not None:
        require_target("--animate", animate, usual="drawn.gif", suffixes=ANIMATIONS)
        if animate.suffix.lower() == ".mp4":
            _ffmpeg()
    way, drawn, frames = options.get("way", 0), None, None
    if out is not None or way:
        run = load_run(folder, best=best, step=step, replica=replica)
        measured = out is not None and out.suffix.lower() != ".png" and run.config.run.data != ARRAYS
        if measured and run.method.classes and options.get("labels") is None:
            options["labels"] = "data"  # other tools compare these files with the data
        numbers, labels = _numbers(run.class_names) if run.method.classes else [], options.get("labels")
        if numbers and isinstance(labels, list):
            if wrong := [label for label in labels if label not in numbers]:
                raise UserError(f"--labels: {wrong[0]} is not allowed, the classes are {', '.join(run.class_names)}")
            options["labels"] = [numbers.index(label) for label in labels]
        drawn = draw(run, **options)
        if numbers and drawn[1] is not None:
            drawn = drawn[0], np.array(numbers)[drawn[1]]
    if animate is not None:
        frames = drawn[0] if way and drawn else _through_training(folder, replica)
    if out is not None and drawn is not None:
        with writing("--out", out):
            write(*drawn, out, columns=way or None)
    if animate is not None and frames is not None:
        with writing("--animate", animate):
            write_atomically(animate, _animation(frames, animate.suffix.lower(), seconds=WALK if way else TRAINING))
    return [path for path in (out, animate) if path is not None]


def _numbers(names: tuple[str, ...]) -> list[int]:
    """Returns the names of classes as numbers, such as 1 to 10; empty if they are not, or are 0 to n - 1 anyway."""
    numbers = [int(name) for name in names if name.lstrip("-").isdecimal()]
    return numbers if len({*numbers}) == len(names) and numbers != [*range(len(names))] else []


def _through_training(folder: Path, replica: int | None) -> Images:
    """Makes a sample grid for each epoch from the samples of the same latents that a run saved."""
    saved = None
    if not is_pretrained(folder):
        with named_as_a_folder():
            config = require_run(Workdir(folder))
            require_replica(replica or 0, len(replica_configs(config)), folder)
            saved = read_samples(Workdir(folder), replica=(replica or 0) if config.run.several else None)
    if not saved:
        raise UserError(f"--animate: {str(folder)!r} saved no samples during training, add --walk")
    return np.stack([_sheet(images[:IN_A_FRAME], math.isqrt(IN_A_FRAME)) for images in saved.values()])


def write(images: Images, labels: Labels | None, out: Path, *, columns: int | None = None) -> None:
    """Writes samples atomically, in the format of the suffix; ``columns`` is for a sample grid."""
    if (suffix := out.suffix.lower()) == ".png":
        columns = columns or math.isqrt(len(images) - 1) + 1
        write_atomically(out, to_png(_sheet(images, columns)))
    elif suffix:
        content = io.BytesIO()
        if suffix == ".npy":
            np.save(content, images)
        else:
            arrays = {"images": images} | ({} if labels is None else {"labels": labels})
            np.savez(content, allow_pickle=False, **arrays)
        write_atomically(out, content.getvalue())
    else:
        temporary = out.with_name(f".{out.name}.{os.getpid()}")
        temporary.mkdir()
        try:
            for number, image in enumerate(images):
                (temporary / f"{number:06d}.png").write_bytes(to_png(image))
            temporary.rename(out)
        except OSError:
            shutil.rmtree(temporary, ignore_errors=True)
            raise


def _sheet(images: Images, columns: int) -> UInt8[np.ndarray, "rows cols channels"]:
    """Arranges images in a grid, with white ones in the rest of the last row."""
    missing = -len(images) % columns
    white = np.full((missing, *images.shape[1:]), 255, np.uint8)
    return tile(np.concatenate([images, white]), columns=columns)


def _animation(frames: Images, suffix: str, *, seconds: float) -> bytes:
    from PIL import Image

    height, width, channels = frames.shape[1:]
    if (side := max(height, width)) > MOST_PIXELS:
        raise UserError(f"--animate: frames have {side} pixels on a side, at most {MOST_PIXELS} are allowed")
    scale = max(1, min(-(-LEAST_PIXELS // height), MOST_PIXELS // side))
    if suffix == ".mp4":
        return _video(frames, scale=scale, seconds=seconds)

    def picture(frame: UInt8[np.ndarray, "height width channels"]) -> Image.Image:
        image = Image.fromarray(frame[..., 0] if channels == 1 else frame)
        return image.resize((width * scale, height * scale), Image.Resampling.NEAREST)

    first, *others = frames
    content, how = io.BytesIO(), {"lossless": True} if suffix == ".webp" else {}
    how |= {"duration": round(1000 * seconds), "loop": 0}
    # Frames are enlarged one at a time: together they may take gigabytes.
    picture(first).save(content, suffix[1:], save_all=True, append_images=map(picture, others), **how)
    return content.getvalue()


def _video(frames: Images, *, scale: int, seconds: float) -> bytes:
    """Encodes enlarged frames as MP4, in a pixel format that all players support and that needs even sides."""
    height, width, channels = frames.shape[1:]
    given = ["-f", "rawvideo", "-pix_fmt", "gray" if channels == 1 else "rgb24", "-s", f"{width}x{height}"]
    larger = f"scale={scale * width}:{scale * height}:flags=neighbor,pad=ceil(iw/2)*2:ceil(ih/2)*2:color=white"
    made = ["-vf", larger, "-r", "25", "-pix_fmt", "yuv420p", "-movflags", "frag_keyframe+empty_moov", "-f", "mp4"]
    command = [_ffmpeg(), "-loglevel", "error", *given, "-r", f"{1 / seconds:g}", "-i", "-", *made, "-"]
    done = subprocess.run(command, input=frames.tobytes(), capture_output=True)
    if done.returncode:
        raise OSError(f"ffmpeg failed: {' '.join(done.stderr.decode(errors='replace').split())}")
    return done.stdout


def _ffmpeg() -> str:
    """Finds ffmpeg, which writes MP4, on the PATH or in the package imageio-ffmpeg."""
    if found := shutil.which("ffmpeg"):
        return found
    try:
        from imageio_ffmpeg import get_ffmpeg_exe  # pyright: ignore[reportMissingImports]
    except ImportError:
        way_out = "choose .gif or .webp, or run python -m pip install imageio-ffmpeg"
        raise UserError(f"--animate: '.mp4' needs ffmpeg, which is missing; {way_out}") from None
    return get_ffmpeg_exe()
