from pathlib import Path

import numpy as np
import pytest

from jaxgan.errors import UserError
from jaxgan.evaluation import sample_files
from jaxgan.evaluation.feature_network import load_judge

SHAPE = (6, 5, 1)
BYTES = np.random.default_rng(0).integers(0, 256, (20, *SHAPE), dtype=np.uint8)
BYTES[0, 0, 0] = 0
BYTES[0, 0, 1] = 255
UNIT = BYTES / 255
SIGNED = BYTES / 127.5 - 1
NO_SCALE = [np.int8, np.int16, np.int32, np.int64, np.uint16, np.uint32, np.uint64, np.bool_, np.complex64, "M8[s]"]


def saved(folder, array):
    path = folder / "samples.npy"
    np.save(path, array)
    return path


@pytest.mark.parametrize(
    "array",
    [
        *(BYTES, UNIT, UNIT.astype(np.float32), UNIT.astype(np.longdouble), SIGNED, SIGNED.astype(np.float16)),
        *(BYTES[..., 0], np.moveaxis(SIGNED, -1, 1), np.asfortranarray(UNIT), SIGNED * (1 + 1e-6), UNIT - 1e-6),
    ],
)
def test_the_same_images_are_read_from_every_form_they_come_in(tmp_path, array):
    found = sample_files.read(saved(tmp_path, array), image_shape=SHAPE)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, BYTES)


def test_floats_that_fall_short_of_a_scale_are_read_on_it(tmp_path):
    found = sample_files.read(saved(tmp_path, 0.9 * SIGNED), image_shape=SHAPE)
    np.testing.assert_array_equal(found, np.round(255 * (0.9 * SIGNED + 1) / 2))


def test_channels_may_come_first(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (4, 3, 6, 5), dtype=np.uint8)
    found = sample_files.read(saved(tmp_path, images), image_shape=(6, 5, 3))
    np.testing.assert_array_equal(found, images.transpose(0, 2, 3, 1))


@pytest.mark.parametrize("names", [("anything",), ("labels", "images"), ("arr_0", "seed"), ("samples", "real")])
def test_an_archive_has_one_array_or_one_of_a_usual_name(tmp_path, names):
    path = tmp_path / "samples.npz"
    usual = {"images", "arr_0", "samples", "anything"}
    np.savez(path, **{name: BYTES if name in usual else np.arange(3) for name in names})
    np.testing.assert_array_equal(sample_files.read(path, image_shape=SHAPE), BYTES)


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (BYTES[:, :5], r"is of shape \(20, 5, 5, 1\), it must be \(n, 6, 5, 1\)"),
        (BYTES[0], "is of shape"),
        (np.uint8(3), "is of shape"),
        (BYTES.reshape(20, 30), "is of shape"),
        (BYTES[:0], "holds no image"),
        *((BYTES.astype(kind), "has dtype .*, it must be uint8, or floats") for kind in NO_SCALE),
        ((BYTES > 100).astype(np.uint8), "bytes of at most 1"),
        (np.where(BYTES == 3, np.nan, UNIT), "not finite"),
        (np.where(BYTES == 3, np.inf, UNIT), "not finite"),
        (BYTES.astype(np.float32), "floats from 0 to 255"),
        (1.2 * SIGNED, "floats from -1.2 to 1.2"),
        (UNIT - 0.1, "floats from -0.1 to 0.9"),
        (UNIT - 0.5, "floats from -0.5 to 0.5"),
        (UNIT / 2, "floats from 0 to 0.5"),
        (UNIT / 2 + 0.5, "floats from 0.5 to 1"),
        (0 * UNIT, "floats from 0 to 0"),
        (UNIT / 255, "floats from 0 to 0.003922"),
        (SIGNED / 4, "floats from -0.25 to 0.25"),
    ],
)
def test_what_is_no_set_of_such_images_or_is_ambiguous_is_refused(tmp_path, array, words):
    path = saved(tmp_path, array)
    with pytest.raises(UserError, match=words) as error:
        sample_files.read(path, image_shape=SHAPE)
    assert f"--samples: {str(path)!r}" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.npy", b"", "no file of NumPy arrays"),
        ("a.npy", b"images", "no file of NumPy arrays"),
        ("a.npz", b"PK\x03\x04 and no more", "no file of NumPy arrays"),
        ("absent/a.npy", None, "cannot be read"),
    ],
)
def test_a_file_that_is_none_is_refused(tmp_path, name, content, words):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=words):
        sample_files.read(tmp_path / name, image_shape=SHAPE)


def test_pickled_objects_and_a_choice_of_arrays_are_refused(tmp_path):
    np.save(tmp_path / "a.npy", np.array([{}, []], object), allow_pickle=True)
    with pytest.raises(UserError, match="no file of NumPy arrays"):
        sample_files.read(tmp_path / "a.npy", image_shape=SHAPE)
    np.savez(tmp_path / "a.npz", real=BYTES, fake=BYTES)
    with pytest.raises(UserError, match="must hold one array, or one named 'images'; it has 'real', 'fake'"):
        sample_files.read(tmp_path / "a.npz", image_shape=SHAPE)


@pytest.mark.parametrize("name", ["/dev/zero", "/dev/null"])
def test_a_device_in_the_place_of_a_file_is_refused(name):
    with pytest.raises(UserError, match=r"^--samples: .* is a pipe or a device, it must be a file"):
        sample_files.read(Path(name), image_shape=SHAPE)
    with pytest.raises(UserError, match=r"^--judge: .* is a pipe or a device, it must be a file"):
        load_judge(Path(name))


def test_a_file_that_is_no_classifier_need_not_be_removed(tmp_path):
    path = saved(tmp_path, BYTES)
    with pytest.raises(
        UserError, match=r"samples.npy: no classifier, or damaged \(.*\); train digit_classifier again$"
    ):
        load_judge(path)
