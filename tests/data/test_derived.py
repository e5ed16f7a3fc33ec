import dataclasses

import numpy as np
import pytest

from jaxgan import cli, data
from jaxgan.data import catalog
from jaxgan.data.derived import hold_out, stack
from jaxgan.errors import UserError

SPEC = dataclasses.replace(catalog.STACKED_MNIST, image_shape=(6, 5, 3))


@pytest.fixture
def stacked(toy_dataset):
    return stack(SPEC, toy_dataset)


def places(stacked, parts):
    """The number of the part in each channel of each image."""
    known = {image.tobytes(): number for number, image in enumerate(parts.images)}
    return np.array([[known[image[..., c : c + 1].tobytes()] for c in range(3)] for image in stacked.images])


def test_stacked_images_are_an_ordinary_data_set(stacked):
    assert isinstance(stacked, data.Dataset)
    assert (stacked.name, stacked.size, stacked.image_shape) == ("stacked_mnist", 70, (6, 5, 3))
    assert (stacked.images.dtype, stacked.labels.dtype) == (np.uint8, np.int32)
    assert stacked.class_names[307] == "307"


def test_each_part_is_once_in_each_channel_in_three_unlike_orders(stacked, toy_dataset):
    channels = places(stacked, toy_dataset).T
    assert all(sorted(channel) == list(range(70)) for channel in channels)
    assert max(np.mean(channels[i] == channels[j]) for i in range(3) for j in range(i)) < 0.1


def test_the_digits_of_a_label_are_the_labels_of_the_channels(stacked, toy_dataset):
    digits = toy_dataset.labels[places(stacked, toy_dataset)]
    np.testing.assert_array_equal(stacked.labels, digits @ [100, 10, 1])


def test_the_orders_are_fixed_and_do_not_depend_on_the_images(stacked, toy_dataset):
    again = stack(SPEC, toy_dataset)
    np.testing.assert_array_equal(again.images, stacked.images)
    inverted = toy_dataset._replace(images=255 - toy_dataset.images)
    np.testing.assert_array_equal(stack(SPEC, inverted).images, 255 - stacked.images)


def test_stacked_images_are_no_stream():
    with pytest.raises(UserError, match="--input: 'stream' is not allowed for stacked_mnist"):
        data.stream("stacked_mnist")


def test_stacked_mnist_is_loaded_from_the_data_set_it_is_made_of(small, prepared_dir, monkeypatch):
    monkeypatch.setitem(catalog.CATALOG, "mnist", small.spec)
    for split in ("train", "test"):
        found, parts = (data.load(name, split=split, data_dir=prepared_dir) for name in ("stacked_mnist", "mnist"))
        expected = stack(catalog.STACKED_MNIST, parts)
        np.testing.assert_array_equal(found.images, expected.images)
        np.testing.assert_array_equal(found.labels, expected.labels)


def test_training_and_validation_images_are_the_training_images_in_order(toy_dataset):
    spec = dataclasses.replace(catalog.MNIST_HELD_OUT, held_out=20)
    train, test = (hold_out(spec, toy_dataset, split) for split in ("train", "test"))
    assert (train.name, train.size, test.size) == ("mnist_held_out", 50, 20)
    np.testing.assert_array_equal(np.concatenate([train.images, test.images]), toy_dataset.images)
    np.testing.assert_array_equal(np.concatenate([train.labels, test.labels]), toy_dataset.labels)


def test_validation_images_never_come_from_the_test_split(small, prepared_dir, monkeypatch):
    monkeypatch.setitem(catalog.CATALOG, "mnist", small.spec)
    monkeypatch.setitem(catalog.CATALOG, "held", dataclasses.replace(catalog.MNIST_HELD_OUT, held_out=10))
    training = data.load("mnist", data_dir=prepared_dir)
    for split, rows in (("train", slice(-10)), ("test", slice(-10, None))):
        found = data.load("held", split=split, data_dir=prepared_dir)
        np.testing.assert_array_equal(found.images, training.images[rows])
    with pytest.raises(UserError, match=r"split of 'mnist_held_out'"):
        data.load("held", split="validation", data_dir=prepared_dir)


@pytest.mark.slow
def test_stacked_mnist_has_all_thousand_classes_and_too_few_to_show(mnist_dir, refused):
    test = data.load("stacked_mnist", split="test", data_dir=mnist_dir)
    assert test.images.shape == (10_000, 28, 28, 3)
    assert len(np.unique(test.labels)) == 1000
    line = refused(cli.main, "data", "show", "stacked_mnist", "--data-dir", mnist_dir)
    assert "choose 'mnist', which it is made of" in line
