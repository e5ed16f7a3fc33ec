"""Images as parts of a page: sheets of samples beside their nearest training images, within a number of bytes."""

import base64
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8

from jaxgan.data import Dataset
from jaxgan.evaluation import prdc
from jaxgan.tiles import tile, to_png

BYTES = 1_250_000  # of images, for each of five parts of a page; all runs share it
MOST_FRAMES, MOST_SAMPLES, MOST_SIDE, MOST_CLASSES, MOST_COLUMNS = 24, 64, 21, 10, 10
MOST_DRAWN = 1000  # images of a plane, which some methods draw slowly

Images = UInt8[np.ndarray, "count height width channels"]


class Sheet(NamedTuple):
    """Images side by side in one picture, and the training image that is nearest to each."""

    label: str  # what tells it from the others, such as the epoch
    picture: str  # a data URI
    columns: int  # images in a row
    rows: int  # rows of images
    size: tuple[int, int]  # width and height of an image
    nearest: str | None  # a data URI, laid out alike; None without training images
    about: list[str]  # a line on each image


def sheets(
    images: Mapping[str, Images],
    *,
    columns: int,
    labels: Sequence[object] | np.ndarray | None,
    training: Dataset | None,
) -> list[Sheet]:
    """Lays out images of the same latents, and finds the training image nearest to each.

    Args:
      images: equally many by the label of their sheet.
      columns: images in a row.
      labels: the class of each image; None if unconditional.
      training: where to look for the nearest; None for nowhere.

    Returns:
      A sheet for each label.
    """
    every = np.concatenate(list(images.values()))
    found, distances = (None, None) if training is None else prdc.nearest(every, training.images)
    made, start = [], 0
    for label, own in images.items():
        part = slice(start, start := start + len(own))
        about = ["" if labels is None else f"class {labels[i]}" for i in range(len(own))]
        near = None
        if training is not None and found is not None and distances is not None:
            near = data_uri(to_png(tile(training.images[found[part]], columns=columns, gap=0)))
            named = [training.class_names[training.labels[i]] for i in found[part]]
            words = [f"a training image of class {name} is nearest" for name in named]
            about = [
                ", ".join(filter(None, (first, f"{second}, at a distance of {distance:.2f}")))
                for first, second, distance in zip(about, words, distances[part], strict=True)
            ]
        height, width = own.shape[1:3]
        sheet = data_uri(to_png(tile(own, columns=columns, gap=0)))
        made.append(Sheet(label, sheet, columns, len(own) // columns, (width, height), near, about))
    return made


def data_uri(content: bytes) -> str:
    """Makes the address of a PNG that holds the PNG itself."""
    return "data:image/png;base64," + base64.b64encode(content).decode()


def choose_frames(frames: Mapping[int, Images], *, runs: int) -> dict[int, Images]:
    """Leaves out epochs evenly, and samples from the last, until a page has room for them.

    Args:
      frames: samples by epoch.
      runs: runs on the page.

    Returns:
      The first and the last epoch, and others between; a square of samples of each.
    """
    room = BYTES // (runs * next(iter(frames.values()))[0].size)  # for images, each beside its nearest
    chosen = sorted(frames)
    most = max(2, min(MOST_FRAMES, room // 4))
    if len(chosen) > most:
        chosen = [chosen[round(place)] for place in np.linspace(0, len(chosen) - 1, most)]
    fewest = min(len(frames[epoch]) for epoch in chosen)
    side = max(1, math.isqrt(min(MOST_SAMPLES, fewest, room // len(chosen))))
    return {epoch: frames[epoch][: side**2] for epoch in chosen}


def side_of_plane(image_shape: tuple[int, int, int], *, sheets: int, runs: int) -> int:
    """How many images along each side of a plane a page has room for, on each of some sheets."""
    room = min(MOST_DRAWN, BYTES // (runs * math.prod(image_shape)))
    return max(2, min(MOST_SIDE, math.isqrt(room // sheets)))


def columns_of_rows(image_shape: tuple[int, int, int], *, rows: int, runs: int) -> int:
    """How many images in each of some rows a page has room for."""
    return max(1, min(MOST_COLUMNS, BYTES // (2 * runs * rows * math.prod(image_shape))))
