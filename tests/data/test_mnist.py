import hashlib

import numpy as np
import pytest

from jaxgan import data
from jaxgan.data.catalog import MNIST
from jaxgan.data.idx import assemble
from jaxgan.data.order import tfds_order
from jaxgan.data.sources import read_archive


@pytest.fixture(scope="module")
def original():
    return assemble(MNIST, read_archive(MNIST.archive, spec=MNIST), origin="archive")


def test_the_embedded_files_are_mnist(original):
    assert original["train"].labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    counts = np.bincount(original["train"].labels)
    assert counts.tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert np.bincount(original["test"].labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]


def test_the_order_of_tfds_is_known_without_tfds(original):
    train = original["train"]
    assert train.labels[tfds_order(train.size, "train")][:10].tolist() == [4, 1, 0, 7, 8, 1, 2, 7, 1, 6]


@pytest.mark.slow
def test_the_order_of_rows_is_that_of_the_stock_builder(mnist_dir):
    assert data.load("mnist", data_dir=mnist_dir).labels[:10].tolist() == [4, 1, 0, 7, 8, 1, 2, 7, 1, 6]


@pytest.mark.slow
@pytest.mark.parametrize("split", ["train", "test"])
def test_every_pixel_and_label_survives_preparing(mnist_dir, original, split):
    def digest(samples):
        rows = zip(samples.labels.tolist(), samples.images, strict=True)
        return hashlib.md5(b"".join(sorted(bytes([label]) + image.tobytes() for label, image in rows))).hexdigest()

    assert digest(data.load("mnist", split=split, data_dir=mnist_dir)) == digest(original[split])
