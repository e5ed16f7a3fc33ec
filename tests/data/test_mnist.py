"""The real MNIST, out of the archive in the package."""

import hashlib
import time

import numpy as np
import pytest

from jaxgan import data
from jaxgan.data.catalog import MNIST
from jaxgan.data.idx import assemble
from jaxgan.data.sources import read_archive


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    root = tmp_path_factory.mktemp("mnist")
    data.prepare("mnist", data_dir=root)
    return root


@pytest.fixture(scope="module")
def original():
    return assemble(MNIST, read_archive(MNIST.archive, spec=MNIST), origin="archive")


def test_the_embedded_files_are_mnist(original):
    assert original["train"].labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    counts = np.bincount(original["train"].labels)
    assert counts.tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert np.bincount(original["test"].labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]


@pytest.mark.slow
def test_the_order_of_rows_is_that_of_the_stock_builder(data_dir):
    assert data.load("mnist", data_dir=data_dir).labels[:10].tolist() == [4, 1, 0, 7, 8, 1, 2, 7, 1, 6]


@pytest.mark.slow
@pytest.mark.parametrize("split", ["train", "test"])
def test_every_pixel_and_label_survives_preparing(data_dir, original, split):
    def digest(samples):
        rows = zip(samples.labels.tolist(), samples.images, strict=True)
        return hashlib.md5(b"".join(sorted(bytes([label]) + image.tobytes() for label, image in rows))).hexdigest()

    assert digest(data.load("mnist", split=split, data_dir=data_dir)) == digest(original[split])


@pytest.mark.slow
def test_a_warm_load_takes_less_than_a_fifth_of_a_second(data_dir):
    data.load("mnist", data_dir=data_dir)
    start = time.perf_counter()
    data.load("mnist", data_dir=data_dir)
    assert time.perf_counter() - start < 0.2
