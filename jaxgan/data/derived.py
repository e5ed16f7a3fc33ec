"""Data sets derived in memory from another one: images stacked as channels, or training images split again."""

import numpy as np

from jaxgan.data.catalog import Spec
from jaxgan.data.dataset import Dataset
from jaxgan.data.order import permutation

STACKING_STREAM = 2  # separates these permutations from the epoch orders
CLASSES = 10  # of the data set whose images are stacked


def stack(spec: Spec, parts: Dataset) -> Dataset:
    """Stacks images as channels, with one fixed permutation per channel.

    Args:
      spec: the stacked data set.
      parts: the images to stack.

    Returns:
      As many images as ``parts``; each part occurs once in each channel. The decimal digits of a label are the labels
      of its channels.

    References:
      Metz et al., Unrolled Generative Adversarial Networks, 2017, section 3.3.1.
    """
    channels = spec.image_shape[-1] // parts.image_shape[-1]
    orders = [permutation(parts.size, [STACKING_STREAM, channel]) for channel in range(channels)]
    labels = np.zeros(parts.size, np.int32)
    for order in orders:
        labels = CLASSES * labels + parts.labels[order]
    images = np.concatenate([parts.images[order] for order in orders], axis=-1)
    return Dataset(spec.name, images, labels, spec.class_names)


def hold_out(spec: Spec, training: Dataset, split: str) -> Dataset:
    """Splits training images again, so that a method can be tuned without the test images.

    Args:
      spec: the data set to make.
      training: the training images of the data set that it is derived from.
      split: ``"test"`` for the held-out images, ``"train"`` for the others.

    Returns:
      The images of the split, as views.
    """
    rows = slice(-spec.held_out, None) if split == "test" else slice(-spec.held_out)
    return training._replace(name=spec.name, images=training.images[rows], labels=training.labels[rows])
