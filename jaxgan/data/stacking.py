"""Images with one of another data set's in each channel: three digits together have a thousand classes."""

import functools
from collections.abc import Iterable
from typing import TypeVar

import numpy as np
from jaxtyping import Int32

from jaxgan.data.catalog import Spec
from jaxgan.data.dataset import Dataset
from jaxgan.data.order import epoch_order

Label = TypeVar("Label")

PARTS = 10  # classes of the data set that is stacked


def in_parts(spec: Spec, parts: Dataset) -> Dataset:
    """Takes a data set for one of stacked images, which whoever trains on it puts together, anew in every epoch.

    Args:
      spec: what is known of the stacked images.
      parts: the images to be stacked.

    Returns:
      The same arrays, of which no copy is made; see :func:`stacked_order`.
    """
    stacked = spec.image_shape[-1] // parts.image_shape[-1]
    return Dataset(spec.name, parts.images, parts.labels, spec.class_names, stacked)


def put_together(dataset: Dataset) -> Dataset:
    """Stacks as many images as there are parts, always the same ones.

    Args:
      dataset: what :func:`in_parts` gives.

    Returns:
      Whole images, for those who hold them against others.
    """
    chosen = stacked_order(dataset, seed=0, epoch=0)
    images = np.concatenate([dataset.images[row] for row in chosen], axis=-1)
    return Dataset(dataset.name, images, together([dataset.labels[row] for row in chosen]), dataset.class_names)


def together(labels: Iterable[Label]) -> Label:
    """Reads the labels of stacked images, numbers or arrays of them, as the digits of the label of all."""
    return functools.reduce(lambda number, digit: PARTS * number + digit, labels)


def stacked_order(dataset: Dataset, *, seed: int, epoch: int) -> Int32[np.ndarray, "*stacked n"]:
    """The order in which an epoch visits the examples, as a function of seed and epoch.

    Args:
      dataset: the training images.
      seed: the run's seed.
      epoch: which epoch, from 0.

    Returns:
      A permutation of the images; if they are stacked, one for each channel, so that an epoch sees each part once in
      each channel and hardly any two epochs the same image.
    """
    orders = [epoch_order(dataset.size, seed=seed, epoch=epoch, channel=i) for i in range(dataset.stacked)]
    return orders[0] if dataset.stacked == 1 else np.stack(orders)
