"""Data sets made of another one in memory: its images stacked as channels, or its training images split anew."""

import numpy as np

from jaxgan.data.catalog import Spec
from jaxgan.data.dataset import Dataset
from jaxgan.data.order import permutation

STACKING_STREAM = 2  # separates these permutations from those of epochs
CLASSES = 10  # of the stacked data set


def stack(spec: Spec, parts: Dataset) -> Dataset:
    """Stacks images as channels, by one fixed permutation per channel.

    Args:
      spec: the stacked data set.
      parts: the images to stack.

    Returns:
      As many images as there are parts, each part once in each channel. The digits of a label are the labels of the
      channels.

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
    """Splits training images anew, so that a method can be tuned without a look at the test images.

    Args:
      spec: the data set to make.
      training: the training images of the data set that it is made of.
      split: ``"test"`` for the images held out, ``"train"`` for the others.

    Returns:
      The images of the split, without a copy.
    """
    rows = slice(-spec.held_out, None) if split == "test" else slice(-spec.held_out)
    return training._replace(name=spec.name, images=training.images[rows], labels=training.labels[rows])
