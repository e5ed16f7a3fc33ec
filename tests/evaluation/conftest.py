import numpy as np
import pytest

from jaxgan.data import Dataset
from jaxgan.evaluation.feature_network import FeatureNetwork


@pytest.fixture
def network():
    """A feature network that tells bright images from dark ones, in ten steps of mean brightness."""
    weights = np.random.default_rng(0).normal(size=(30, 6))

    def extract(images):
        pixels = images.reshape(len(images), -1) / 255
        classes = np.clip((pixels.mean(axis=1) * 10).astype(int), 0, 9)
        return np.abs(pixels @ weights).astype(np.float32), np.eye(10, dtype=np.float32)[classes]

    return FeatureNetwork("brightness-1", extract)


@pytest.fixture
def bright():
    """Makes small images of ten degrees of brightness, which are their labels."""

    def make(count, *, seed):
        rng = np.random.default_rng(seed)
        labels = rng.permutation(np.arange(count) % 10).astype(np.int32)
        images = 25.5 * (labels + 0.5)[:, None] + rng.uniform(-20, 20, (count, 30))
        images = np.clip(images, 0, 255).astype(np.uint8).reshape(count, 6, 5, 1)
        return Dataset("toy", images, labels, tuple("0123456789"))

    return make
