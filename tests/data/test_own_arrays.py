import gzip
import io
import os
import struct
import zipfile

import ml_dtypes
import numpy as np
import pytest

from jaxgan import data
from jaxgan.data import arrays
from jaxgan.data.order import held_out
from jaxgan.errors import UserError

from .conftest import encode_idx
from .test_pictures import GREY, both, load, save

STACK = np.stack([GREY + np.uint8(i) for i in range(30)])


@pytest.mark.parametrize(
    "array",
    [
        *(STACK, STACK[..., None], STACK[:, None], STACK.astype(np.int64), STACK.astype(np.uint16) * 257, STACK / 255),
        *(np.asfortranarray(STACK), (STACK / 255).astype(">f4"), (STACK.astype(np.uint16) * 257).astype(">u2")),
    ],
    ids=[
        *("bytes", "channels last", "channels first", "whole numbers", "sixteen bits", "floats"),
        *("columns first", "big-endian floats", "big-endian"),
    ],
)
def test_arrays_of_every_type_are_the_images_that_they_look(tmp_path, array):
    np.savez(tmp_path / "set.npz", images=array, labels=np.arange(30) % 3 + 5)
    train, test = both(tmp_path / "set.npz", tmp_path)
    assert train.class_names == ("5", "6", "7")
    assert train.size + test.size == 30
    chosen = held_out([str(i) for i in range(30)])
    np.testing.assert_array_equal(train.images[..., 0], STACK[~chosen])
    np.testing.assert_array_equal(test.labels, (np.arange(30) % 3)[chosen])


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"images": STACK, "labels": np.arange(29)}, "labels of shape"),
        ({"images": STACK, "labels": np.linspace(0, 1, 30)}, "it must be one integer for each image"),
        ({"images": STACK.astype(np.uint16)}, "has 16-bit values of at most .*, which look black"),
        ({"images": STACK[..., None].repeat(4, -1)}, "with 1 or 3 channels"),
        ({"images": STACK.astype(float)}, "clearly neither in"),
        ({"images": STACK[0]}, r"it must be \(n, height, width\)"),
        ({"images": STACK[0, :, :, None].repeat(3, -1)}, "which is one picture; give several"),
        ({"images": STACK[:1]}, "n at least 2"),
        ({"images": STACK.astype(">u2")}, "has 16-bit values of at most .*, which look black"),
        ({"images": STACK.astype(np.uint16) * 16}, "has 16-bit values of at most .*, which look black"),
        ({"images": STACK // 16}, "has bytes of at most 15, which look black"),
        ({"images": STACK[:9, 0, :, None].repeat(2, 1)}, "which is one picture; give several"),
        ({"images": STACK[:9, 0, :, None].repeat(2, 1).repeat(4, -1)}, "which is one picture; give several"),
        ({"images": STACK[:, :6].transpose(1, 2, 0)}, r"which is \(height, width, n\); move the last axis"),
        ({"images": STACK[:, :0]}, "holds no image"),
        ({"images": STACK[:, :0] / 255}, "holds no image"),
        ({"images": STACK, "label": np.arange(30)}, "has 'label'; name it 'labels', or leave it out"),
        ({"images": STACK, "labels": np.arange(30), "test_images": STACK}, "but needs .*'test_labels'"),
        ({"images": np.array([{"a": 1}], object)}, "no file of NumPy arrays .it holds Python objects"),
    ],
)
def test_arrays_that_are_no_images_are_refused(tmp_path, arrays, words):
    np.savez(tmp_path / "set.npz", **arrays)
    with pytest.raises(UserError, match=f"^--data: .*{words}"):
        load(tmp_path / "set.npz", tmp_path)


def announcing(shape):
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": shape})
    return header.getvalue()


@pytest.mark.parametrize("suffix", [".npy", ".npz", "-images-idx3-ubyte", "-images-idx3-ubyte.gz"])
def test_arrays_beyond_memory_are_refused_before_they_are_read(tmp_path, monkeypatch, suffix):
    monkeypatch.setattr(arrays, "MOST_BYTES", 2**20)
    path, header, content = tmp_path / f"set{suffix}", announcing((2000, 32, 32)), bytes(2_048_000)
    if suffix == ".npz":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("images.npy", header + content)
    else:
        path.write_bytes(header + content)
    if "idx3" in suffix:
        write_idx(path, np.zeros((2000, 32, 32), np.uint8))
    with pytest.raises(UserError, match=r"array of 2,048,\d+ bytes, this machine's memory allows 1,048,576"):
        load(path, tmp_path)


def test_a_gzipped_file_is_read_no_further_than_its_header_announces(tmp_path, monkeypatch):
    monkeypatch.setattr(arrays, "MOST_BYTES", 2**20)
    path = tmp_path / "set-images-idx3-ubyte.gz"
    path.write_bytes(gzip.compress(struct.pack(">HBB3I", 0, 8, 3, 2, 4, 4) + bytes(2**24)))
    with pytest.raises(UserError, match="too long, 49 bytes where its header announces 48"):
        load(path, tmp_path)


@pytest.mark.parametrize("name", ["set.npy", "set.zip", "set-images-idx3-ubyte", "set.png", "/dev/zero"])
def test_a_pipe_or_a_device_in_the_place_of_a_file_is_refused(tmp_path, name):
    if name != "/dev/zero":
        os.mkfifo(tmp_path / name)
    with pytest.raises(UserError, match="is a pipe or a device, it must be a file"):
        load(tmp_path / name, tmp_path)


def write_idx(path, array):
    content = encode_idx(array)
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


def test_idx_files_are_a_pair_to_divide_or_a_folder_of_both_splits(tmp_path):
    labels = (np.arange(30) % 2).astype(np.uint8)
    for name, part in (("train", slice(20)), ("t10k", slice(20, 30))):
        write_idx(tmp_path / f"{name}-images-idx3-ubyte.gz", STACK[part])
        write_idx(tmp_path / f"{name}-labels-idx1-ubyte", labels[part])
    train, test = both(tmp_path, tmp_path)
    assert (train.size, test.size) == (20, 10)
    np.testing.assert_array_equal(test.labels, labels[20:])
    pair = both(tmp_path / "train-images-idx3-ubyte.gz", tmp_path)
    assert sum(split.size for split in pair) == 20
    (tmp_path / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(UserError, match=r"lacks some of .*t10k-labels"):
        load(tmp_path, tmp_path)


def test_resized_arrays_are_resized_as_pictures_are(tmp_path):
    np.save(tmp_path / "set.npy", STACK)
    for i, image in enumerate(STACK):
        save(tmp_path / "set" / f"{i}.png", image)
    assert load(tmp_path / "set.npy", tmp_path, image_size=4).image_shape == (4, 4, 1)
    chosen = {image.tobytes() for split in both(tmp_path / "set", tmp_path, image_size=4) for image in split.images}
    found = {image.tobytes() for split in both(tmp_path / "set.npy", tmp_path, image_size=4) for image in split.images}
    assert found == chosen


def test_arrays_of_a_program_are_the_same_arrays_of_a_file(tmp_path):
    held = {"images": np.arange(40 * 20).reshape(40, 5, 4) % 256, "labels": np.arange(40) % 3 + 7}
    np.savez(tmp_path / "set.npz", **held)
    expected = both(tmp_path / "set.npz", tmp_path, image_size=3)
    whole = data.Dataset("", np.uint8(held["images"])[..., None], held["labels"], ())
    for given in (held, np.load(tmp_path / "set.npz"), whole):
        for found, split in zip(data.from_arrays(given, image_size=3), expected, strict=True):
            np.testing.assert_array_equal(found.images, split.images)
            np.testing.assert_array_equal(found.labels, split.labels)
            assert (found.class_names, found.image_shape) == (("7", "8", "9"), (3, 3, 1))


def test_the_fingerprint_of_arrays_follows_what_is_trained_on():
    images, labels = np.arange(20 * 6, dtype=np.uint8).reshape(20, 2, 3), np.arange(20) % 2
    found = lambda given, **how: data.from_arrays(given, **how)[0].fingerprint
    as_floats = images / np.float32(255)
    as_floats[0, 0, :2] = 0, 1
    same = [images.copy(), {"images": images}, images[..., None]]
    others = [255 - images, images.reshape(20, 3, 2), {"images": images, "labels": labels}, as_floats]
    others += [{"images": images, "labels": labels + 1}, {"images": images[:15], "test_images": images[15:]}]
    prints = [found(given) for given in others] + [found(images, image_size=2)]
    assert len({found(images), *prints}) == 1 + len(prints)
    assert {found(given) for given in same} == {found(images)}


def test_images_called_test_images_are_held_out(tmp_path):
    images, labels = np.arange(20 * 6, dtype=np.uint8).reshape(20, 2, 3), np.arange(20) % 2
    held = {"images": images[:15], "test_images": images[15:], "labels": labels[:15], "test_labels": labels[15:]}
    train, test = data.from_arrays(held)
    np.testing.assert_array_equal(train.images[..., 0], images[:15])
    np.testing.assert_array_equal(test.images[..., 0], images[15:])
    np.testing.assert_array_equal(test.labels, labels[15:])
    np.savez(tmp_path / "set.npz", **held)
    for split, found in zip((train, test), both(tmp_path / "set.npz", tmp_path), strict=True):
        np.testing.assert_array_equal(found.images, split.images)


def test_colours_first_and_half_precision_are_read_as_they_look(tmp_path):
    first = np.stack([STACK, 255 - STACK, STACK // 2], axis=1)
    np.save(tmp_path / "set.npy", first)
    for found, split in zip(
        both(tmp_path / "set.npy", tmp_path), data.from_arrays(np.moveaxis(first, 1, -1)), strict=True
    ):
        np.testing.assert_array_equal(found.images, split.images)
    halves, _ = data.from_arrays((STACK / 255).astype(ml_dtypes.bfloat16))
    np.testing.assert_allclose(halves.images.astype(int), data.from_arrays(STACK)[0].images, atol=1)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"imgs": GREY}, "it has 'imgs', but needs 'images'; allowed are 'images', optionally 'labels'"),
        ({"images": GREY[None], "labels": [1], "test_images": GREY[None]}, "it has .*, but needs .* 'test_labels'"),
        ([[1, 2], [3]], "it holds no arrays"),
        (GREY, "'images' has shape"),
        ({"images": GREY[None], "test_images": GREY.T[None]}, r"it has images of \(8, 6\) and \(6, 8\)"),
        (
            {"images": np.stack([GREY] * 3), "labels": [1, 2]},
            "it has labels of shape .2,. and dtype int64 for 3 images",
        ),
        (
            {"images": [GREY] * 3, "labels": [1, 2], "test_images": [GREY], "test_labels": [1, 2]},
            r"it has labels of shape \(2,\) and dtype int64 for 3 images",
        ),
        (np.stack([GREY] * 3) * 1.0, "'images' has floats from 0 to 228, which are clearly neither"),
    ],
)
def test_arrays_of_a_program_that_are_no_images_are_refused(given, words):
    with pytest.raises(UserError, match=f"^dataset=: {words}"):
        data.from_arrays(given)


def test_a_mask_is_refused_rather_than_ignored():
    with pytest.raises(UserError, match="'images' has a mask, which would be ignored; fill it"):
        data.from_arrays(np.ma.masked_greater(STACK, 3))


def test_labels_of_different_integers_keep_their_values(tmp_path):
    large = np.arange(30, dtype=np.uint64) % 2 + np.uint64(2**53)  # floats would make one class of both
    parts = {"images": STACK, "labels": large, "test_images": STACK, "test_labels": large.astype(np.int64)}
    train, test = data.from_arrays(parts)
    assert train.class_names == test.class_names == (str(2**53), str(2**53 + 1))
    np.testing.assert_array_equal(test.labels, np.arange(30) % 2)
