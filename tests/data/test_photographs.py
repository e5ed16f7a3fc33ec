"""Data sets that TFDS prepares, and that are read as it left them: CIFAR-10, and CelebA cropped and resized."""

import dataclasses
import json

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from jaxgan import data
from jaxgan.data import catalog, tfds_directory
from jaxgan.errors import UserError
from tests.photographs import COUNTS, SMALL, cifar10, prepare_other


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    for name, spec in SMALL.items():
        monkeypatch.setitem(catalog.CATALOG, name, spec)


def test_cifar10_is_streamed_and_loaded_as_the_same_images(photographs):
    loaded = data.load("cifar10", data_dir=photographs)
    assert loaded.images.shape == (COUNTS["train"], 32, 32, 3)
    rows = [3, 0, 69, 3]
    images, labels = data.stream("cifar10", data_dir=photographs).read(rows)
    np.testing.assert_array_equal(images, loaded.images[rows])
    np.testing.assert_array_equal(labels, loaded.labels[rows])
    drawn = {np.asarray(Image.open(cifar10(n)["image"])).tobytes(): n % 10 for n in range(COUNTS["train"])}
    assert [drawn[image.tobytes()] for image in loaded.images] == loaded.labels.tolist()


def test_a_face_is_cropped_around_its_middle_resized_and_of_no_class(photographs):
    stream = data.stream("celeb_a", split="test", data_dir=photographs)
    assert (stream.size, stream.image_shape, stream.class_names) == (20, (64, 64, 3), ("face",))
    faces = stream.everything()
    assert not faces.labels.any()
    grey = np.sort(faces.images.reshape(20, -1), axis=1)
    np.testing.assert_allclose(grey[:, 0], grey[:, -1], atol=2)  # no red row is left, and nothing else but one grey
    assert sorted(grey[:, 0]) == pytest.approx([2 * number for number in range(20)], abs=2)


def test_what_is_too_large_for_memory_names_the_flag_that_streams_it(photographs):
    with pytest.raises(UserError, match=r"--data: 'celeb_a' is too large for memory; .* --input stream"):
        data.load("celeb_a", data_dir=photographs)


@pytest.mark.parametrize("name", SMALL)
def test_what_tfds_has_to_prepare_says_by_which_command(name, tmp_path):
    command = rf"tfds build {name} --file_format=array_record --data_dir={tmp_path}"
    for use in (data.stream, data.prepare):
        with pytest.raises(UserError, match=rf"--data: '{name}' is not prepared in .*tensorflow: {command}"):
            use(name, data_dir=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_format_that_needs_tensorflow_says_how_to_prepare_it_again(tmp_path):
    directory = tmp_path / "celeb_a" / "2.1.0"
    directory.mkdir(parents=True)
    (directory / "features.json").write_text("{}")
    (directory / "dataset_info.json").write_text(json.dumps({"fileFormat": "tfrecord", "splits": []}))
    with pytest.raises(UserError, match=r"prepared as tfrecord, .* tfds build celeb_a --file_format=array_record"):
        data.stream("celeb_a", data_dir=tmp_path)


def test_the_newest_version_of_any_images_is_streamed_at_a_given_size(tmp_path):
    for version, sizes in (("1.9.0", (8,)), ("1.10.0", (8, 30, 50))):
        prepare_other(tmp_path, [np.full((size, size + 4), 3 * size, np.uint8) for size in sizes], version=version)
    stream = data.stream("other", data_dir=tmp_path, image_size=16)
    images, labels = stream.read(range(stream.size))
    assert images.shape == (3, 16, 16, 3)
    assert sorted(images.reshape(3, -1).min(axis=1)) == sorted(images.reshape(3, -1).max(axis=1)) == [24, 90, 150]
    assert (labels.tolist(), stream.class_names) == ([0, 0, 0], ("image",))
    assert catalog.find("other", image_size=16).image_shape == (16, 16, 3)  # all that a finished run knows it by
    for name, words in (("another", "tfds build another"), ("ciphar10", "tfds build ciphar10")):
        with pytest.raises(UserError, match=words):
            data.stream(name, data_dir=tmp_path, image_size=16)
    with pytest.raises(UserError, match="--data: split of 'other': 'test' is not known, choose from train"):
        data.stream("other", split="test", data_dir=tmp_path, image_size=16)


def test_a_data_set_without_images_is_told_so(photographs, monkeypatch):
    monkeypatch.setitem(catalog.CATALOG, "cifar10", dataclasses.replace(SMALL["cifar10"], label="species"))
    with pytest.raises(UserError, match="--data: 'cifar10' has no feature 'species'"):
        data.stream("cifar10", data_dir=photographs)


def test_the_catalog_s_size_gives_way_to_one_asked_for_of_a_stream(photographs):
    stream = data.stream("cifar10", data_dir=photographs, image_size=8)
    assert stream.everything(most=2).images.shape == (2, 8, 8, 3)
    with pytest.raises(UserError, match="--image-size: 8 is not allowed with 'cifar10' in memory; leave it out, or"):
        data.load("cifar10", data_dir=photographs, image_size=8)


def test_images_of_16_bits_are_scaled_and_a_config_is_named(tmp_path):
    ramp = np.linspace(0, 65_535, 64).reshape(8, 8).astype(np.uint16)
    prepare_other(tmp_path, [ramp], config="deep")
    with pytest.raises(UserError, match="--data: 'other' is not known, choose from other/deep"):
        data.stream("other", data_dir=tmp_path, image_size=8)
    images, _ = data.stream("other/deep", data_dir=tmp_path, image_size=8).read([0])
    np.testing.assert_array_equal(images[0], np.dstack([np.round(ramp / 257)] * 3))


@pytest.mark.parametrize(
    ("features", "words"),
    [
        (lambda f: {"image": f.Image(shape=(8, 8, 1), dtype=np.float32)}, "has images of float32"),
        (lambda f: {"image": f.Tensor(shape=(8, 8), dtype=np.uint8)}, "has Tensor for 'image', it must be Image"),
        (lambda f: {"photo": f.Image(shape=(8, 8, 1))}, "has no feature 'image' to read, it has photo"),
    ],
    ids=["floats", "a tensor", "another name"],
)
def test_features_that_are_no_such_images_are_refused_by_name(features, words):
    spec = catalog.find("other", image_size=8)
    with pytest.raises(UserError, match=words):
        tfds_directory.require_features(spec, ("image",), tfds.features.FeaturesDict(features(tfds.features)))
