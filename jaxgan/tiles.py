"""Grids of images, and PNG encoding, without matplotlib, which is slow to import."""

import io

import numpy as np
from jaxtyping import UInt8
from PIL import Image

GAP = 2  # white pixels between images


def tile(
    images: UInt8[np.ndarray, "count height width channels"], *, columns: int, gap: int = GAP
) -> UInt8[np.ndarray, "rows cols channels"]:
    """Tiles images into one, row by row on white; drops an incomplete last row."""
    rows = len(images) // columns
    _, height, width, channels = images.shape
    grid = np.full((rows, columns, height + gap, width + gap, channels), 255, np.uint8)
    grid[:, :, :height, :width] = images[: rows * columns].reshape(rows, columns, height, width, channels)
    sheet = grid.transpose(0, 2, 1, 3, 4).reshape(rows * (height + gap), columns * (width + gap), channels)
    return sheet[:-gap, :-gap] if gap else sheet


def to_png(image: UInt8[np.ndarray, "height width channels"]) -> bytes:
    """Encodes an image of one or three channels as a PNG file."""
    content = io.BytesIO()
    Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(content, format="png", optimize=True)
    return content.getvalue()
