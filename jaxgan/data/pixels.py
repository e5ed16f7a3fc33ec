"""Decoded images of every kind as bytes of one channel or three, without guessing what their numbers mean."""

import io

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps

from jaxgan.errors import UserError

SIXTEEN_BITS = 257  # 65,535 is white, and so is 255


def to_bytes(image: Image.Image, *, channels: int) -> Image.Image:
    """Converts an image to grey or colours of eight bits.

    Numbers of 16 bits are divided by 257, palettes are looked up, and what is transparent shows white.

    Args:
      image: an image as Pillow decodes it.
      channels: 1 for grey, 3 for colours.

    Returns:
      The image in Pillow's mode L or RGB; itself if it is opaque and in that mode.

    Raises:
      UserError: if its numbers have no fixed range, as floats, or Pillow cannot convert them.
    """
    mode = "L" if channels == 1 else "RGB"
    if image.mode == mode and "transparency" not in image.info:
        return image
    if image.mode.startswith("I"):
        clear = image.info.get("transparency") if image.mode != "I" else None
        image = _from_sixteen_bits(image, clear=clear)
    elif image.mode == "F":
        raise UserError("an image has numbers of floating point, whose range is not known; give 8 or 16 bits")
    elif image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image).convert("RGB")
    try:
        return image.convert(mode)
    except ValueError as error:
        raise UserError(f"an image is of Pillow's mode {image.mode!r}, which cannot be read as {mode}") from error


def decode(
    content: bytes, *, shape: tuple[int, int, int], resized: bool, upright: bool = False
) -> UInt8[np.ndarray, "height width channels"]:
    """Decodes a picture in a format that Pillow reads, of any mode; see :func:`to_bytes`.

    Args:
      content: the file.
      shape: height, width and channels of the result.
      resized: whether the image is cropped around its middle to the aspect of ``shape``, and resized.
      upright: whether to turn it as its EXIF says.

    Returns:
      The pixels.

    Raises:
      UserError: as :func:`to_bytes`, or if it has another height or width.
    """
    image = Image.open(io.BytesIO(content))
    height, width, channels = shape
    if resized:  # a JPEG is decoded at a half or a quarter of its size, if that is large enough
        least = (max(height, width), max(height, width)) if upright else (width, height)
        image.draft("L" if channels == 1 else "RGB", least)
    image = to_bytes(ImageOps.exif_transpose(image) if upright else image, channels=channels)
    if resized:
        image = ImageOps.fit(image, (width, height), Image.Resampling.BILINEAR)
    if image.size != (width, height):
        raise UserError(f"an image has {image.width} x {image.height} pixels, others have {width} x {height}")
    return np.asarray(image).reshape(shape)


def _from_sixteen_bits(image: Image.Image, *, clear: int | None) -> Image.Image:
    """Divides numbers of 16 bits; one of them may be transparent."""
    numbers = np.asarray(image).astype(np.int64)
    if numbers.min() < 0 or numbers.max() > 65_535:
        raise UserError(f"an image has numbers from {numbers.min()} to {numbers.max()}, beyond 16 bits")
    found = np.round(numbers / SIXTEEN_BITS).astype(np.uint8)
    return Image.fromarray(np.where(numbers == clear, np.uint8(255), found))
