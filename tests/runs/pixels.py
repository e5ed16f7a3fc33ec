"""Random images, and features of them that are a few pixels."""

import numpy as np

from jaxgan.data import Dataset


def split_of(name):
    rng = np.random.default_rng(len(name))
    images = rng.integers(0, 256, (200 if name == "test" else 240, 28, 28, 1), dtype=np.uint8)
    return Dataset("mnist", images, (np.arange(len(images)) % 10).astype(np.int32), tuple("0123456789"))


def extract(images):
    pixels = images.reshape(len(images), -1).astype(np.float32) / 255
    odds = np.exp(5 * pixels[:, 400:410])
    return pixels[:, 300:306], odds / odds.sum(axis=1, keepdims=True)
