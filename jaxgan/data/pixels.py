"""Converts decoded images to uint8 with one or three channels, without guessing the range of their values."""

import io

import numpy as np
from jaxtyping import UInt8
from PIL import (
    Image,
    ImageOps,
    TiffImagePlugin,  # noqa: F401  # this and the next register their formats
    WebPImagePlugin,  # noqa: F401
)

from jaxgan.errors import UserError

FORMATS = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP")  # for some others Pillow runs Ghostscript
SIXTEEN_BITS = 257  # 65,535 / 257 = 255, white in 16 and 8 bits


def to_bytes(image: Image.Image, *, channels: int) -> Image.Image:
    """Converts an image to grey or color with 8 bits.

    Values of 16 bits are divided by 257, palettes are looked up, and transparent pixels become white.

    Args:
      image: an image as Pillow decodes it.
      channels: 1 for grey, 3 for color.

    Returns:
      The image in Pillow's mode L or RGB; the same object if it is opaque and in that mode.

    Raises:
      UserError: if its values are floats, which have no fixed range, or Pillow cannot convert its mode.
    """
    mode = "L" if channels == 1 else "RGB"
    if image.mode == mode and "transparency" not in image.info:
        return image
    if image.mode.startswith("I"):
        clear = image.info.get("transparency") if image.mode != "I" else None
        image = _from_sixteen_bits(image, clear=clear)
    elif image.mode == "F":
        raise UserError("an image has floating-point values, whose range is unknown; give 8 or 16 bits")
    elif image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image).convert("RGB")
    try:
        return image.convert(mode)
    except ValueError as error:
        raise UserError(f"an image has Pillow's mode {image.mode!r}, which cannot be converted to {mode}") from error


def decode(
    content: bytes, *, shape: tuple[int, int, int], resized: bool, upright: bool = False
) -> UInt8[np.ndarray, "height width channels"]:
    """Decodes a picture of any format and mode that Pillow reads; see :func:`to_bytes`.

    Args:
      content: the bytes of the file.
      shape: height, width and channels of the result.
      resized: whether to crop the image around its center to the aspect ratio of ``shape``, and resize it.
      upright: whether to rotate it by its EXIF orientation.

    Returns:
      The pixels.

    Raises:
      UserError: as :func:`to_bytes`, or if its height or width differs from ``shape``.
    """
    image = Image.open(io.BytesIO(content), formats=FORMATS)
    height, width, channels = shape
    if resized:  # decodes a JPEG at a half or a quarter of its size, if that is large enough
        least = (max(height, width), max(height, width)) if upright else (width, height)
        image.draft("L" if channels == 1 else "RGB", least)
    image = to_bytes(ImageOps.exif_transpose(image) if upright else image, channels=channels)
    if resized:
        image = ImageOps.fit(image, (width, height), Image.Resampling.BILINEAR)
    if image.size != (width, height):
        raise UserError(f"an image has {image.width} x {image.height} pixels, others have {width} x {height}")
    return np.asarray(image).reshape(shape)


def _from_sixteen_bits(image: Image.Image, *, clear: int | None) -> Image.Image:
    """Converts 16-bit values to 8 bits; the value ``clear`` is transparent and becomes white."""
    numbers = np.asarray(image).astype(np.int64)
    if numbers.min() < 0 or numbers.max() > 65_535:
        raise UserError(f"an image has values from {numbers.min()} to {numbers.max()}, beyond 16 bits")
    scaled = np.round(numbers / SIXTEEN_BITS).astype(np.uint8)
    return Image.fromarray(np.where(numbers == clear, np.uint8(255), scaled))
