"""Sheets of images for a page, with the nearest training images, within a limit on bytes."""

import base64
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8

from jaxgan.data import Dataset
from jaxgan.evaluation import prdc
from jaxgan.tiles import tile, to_png

BYTES = 1_250_000  # of images in each of five parts of a page, shared by all runs
MOST_FRAMES, MOST_SAMPLES, MOST_SIDE, MOST_CLASSES, MOST_COLUMNS = 24, 64, 21, 10, 10
MOST_DRAWN = 1000  # images of a plane; some methods draw slowly

Images = UInt8[np.ndarray, "count height width channels"]


class Sheet(NamedTuple):
    """Images side by side in one picture, and the nearest training image of each."""

    label: str  # distinguishes the sheets, such as the epoch
    picture: str  # a data URI
    columns: int  # images per row
    rows: int  # number of rows
    size: tuple[int, int]  # width and height of an image
    nearest: str | None  # a data URI in the same layout; None without training images
    about: list[str]  # a line about each image


def sheets(
    images: Mapping[str, Images],
    *,
    columns: int,
    labels: Sequence[object] | np.ndarray | None,
    training: Dataset | None,
) -> list[Sheet]:
    """Lays out images of the same latents, and finds the nearest training image of each.

    Args:
      images: images by the label of their sheet, the same number in each.
      columns: images per row.
      labels: the class of each image; None if unconditional.
      training: the training images to search; None for no search.

    Returns:
      A sheet for each label.
    """
    every = np.concatenate(list(images.values()))
    found, distances = (None, None) if training is None else prdc.nearest(every, training.images)
    made, start = [], 0
    for label, shown in images.items():
        part = slice(start, start := start + len(shown))
        about = ["" if labels is None else f"class {labels[i]}" for i in range(len(shown))]
        near = None
        if training is not None and found is not None and distances is not None:
            near = data_uri(to_png(tile(training.images[found[part]], columns=columns, gap=0)))
            named = [training.class_names[training.labels[i]] for i in found[part]]
            words = [f"the nearest training image is of class {name}" for name in named]
            about = [
                ", ".join(filter(None, (first, f"{second}, at distance {distance:.2f}")))
                for first, second, distance in zip(about, words, distances[part], strict=True)
            ]
        height, width = shown.shape[1:3]
        sheet = data_uri(to_png(tile(shown, columns=columns, gap=0)))
        made.append(Sheet(label, sheet, columns, len(shown) // columns, (width, height), near, about))
    return made


def data_uri(content: bytes) -> str:
    """Encodes a PNG file as a data URI."""
    return "data:image/png;base64," + base64.b64encode(content).decode()


def choose_frames(frames: Mapping[int, Images], *, runs: int) -> dict[int, Images]:
    """Drops epochs evenly, and the last samples of each, until the page has room for them.

    Args:
      frames: samples by epoch.
      runs: number of runs on the page.

    Returns:
      The first and last epochs, and others between; a square number of samples for each.
    """
    room = BYTES // (runs * next(iter(frames.values()))[0].size)  # images, each with its nearest training image
    chosen = sorted(frames)
    most = max(2, min(MOST_FRAMES, room // 4))
    if len(chosen) > most:
        chosen = [chosen[round(place)] for place in np.linspace(0, len(chosen) - 1, most)]
    fewest = min(len(frames[epoch]) for epoch in chosen)
    side = max(1, math.isqrt(min(MOST_SAMPLES, fewest, room // len(chosen))))
    return {epoch: frames[epoch][: side**2] for epoch in chosen}


def side_of_plane(image_shape: tuple[int, int, int], *, sheets: int, runs: int) -> int:
    """Returns the images along each side of a plane that a page has room for, with ``sheets`` planes."""
    room = min(MOST_DRAWN, BYTES // (runs * math.prod(image_shape)))
    return max(2, min(MOST_SIDE, math.isqrt(room // sheets)))


def columns_of_rows(image_shape: tuple[int, int, int], *, rows: int, runs: int) -> int:
    """Returns the images per row that a page has room for, in ``rows`` rows."""
    return max(1, min(MOST_COLUMNS, BYTES // (2 * runs * rows * math.prod(image_shape))))
