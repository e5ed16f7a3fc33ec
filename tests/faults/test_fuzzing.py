"""Arbitrary bytes, JSON and command lines are read right or refused in one line.

``pytest --hypothesis-profile thorough tests/faults/test_fuzzing.py`` tries more than 2,000.
"""

import contextlib
import io
import json
import struct
import tracemalloc
import zipfile

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from PIL import Image

from jaxgan.config import Config, from_json, to_json, validate
from jaxgan.data import idx, pictures
from jaxgan.errors import UserError
from jaxgan.evaluation import sample_files
from jaxgan.methods import METHODS
from jaxgan.runs.flags import read_flags

MOST_MEMORY = 32 * 2**20  # bytes; the files are far smaller
CONFIGS = [Config(entry.config()) for entry in METHODS.values()]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
)
SHARES_A_FOLDER = settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


def read_or_refuse(read):
    """What a reader returns, or None if it refuses in one line; anything else fails the test."""
    try:
        return read()
    except UserError as error:
        message = str(error)
    assert message
    assert "Traceback" not in message
    return None


@contextlib.contextmanager
def little_memory():
    """Asserts that no file makes a reader take far more memory than its size."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < MOST_MEMORY
    finally:
        tracemalloc.stop()


def damaged(text):
    """A strategy of a text of bytes with some of them replaced, left out or added."""

    def apply(edits):
        found = bytearray(text)
        for place, change, byte in edits:
            at = place % (len(found) + 1)
            found[at : at + (change < 2)] = bytes([byte] * (change > 0))
        return bytes(found)

    return st.lists(st.tuples(st.integers(0, 2**16), st.integers(0, 2), st.integers(0, 255)), max_size=6).map(apply)


def npy(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def npz(**arrays):
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def declaring(shape):
    """The bytes of an .npy file whose header announces more than follows."""
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
    return file.getvalue() + b"\0" * 64


def zipped(**members):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return file.getvalue()


IDX = struct.pack(">4B3I", 0, 0, 8, 3, 2, 3, 4) + bytes(range(24))
IMAGES = np.random.default_rng(0).integers(0, 256, (3, 4, 4, 1), dtype=np.uint8)


@given(st.binary(max_size=40) | damaged(IDX) | st.binary(max_size=60).map(lambda rest: b"\0\0\x08" + rest))
@example(b"\0\0\x08\x64" + struct.pack(">I", 1) * 100 + b"\0")
@example(b"\0\0\x08\x03" + b"\xff" * 12)
def test_idx_bytes_become_an_array_of_their_header_or_one_line(payload):
    with little_memory():
        found = read_or_refuse(lambda: idx.decode(payload, file="images-idx"))
    if found is not None:
        assert found.tobytes() == payload[4 + 4 * payload[3] :]


@SHARES_A_FOLDER
@given(damaged(npy(IMAGES)) | damaged(npz(images=IMAGES)) | damaged(npy(IMAGES / 255)) | st.binary(max_size=50))
@example(declaring((10**12, 4, 4, 1)))
@example(declaring((10**7, 4, 4, 1)))
@example(zipped(images=declaring((10**7, 4, 4, 1))))
@example(zipped(images=declaring((10**12, 4, 4, 1))))
@example(zipped(images=b"\x93NUMPY\x01\0"))
@example(npy(np.array([{}], dtype=object)))
def test_sample_files_become_bytes_of_the_shape_or_one_line(tmp_path, content):
    file = tmp_path / "samples.npz"
    file.write_bytes(content)
    with little_memory():
        found = read_or_refuse(lambda: sample_files.read(file, image_shape=(4, 4, 1)))
    assert found is None or (found.dtype == np.uint8 and found.shape[1:] == (4, 4, 1))


def png(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "png")
    return file.getvalue()


def zipped_pictures(*pictures):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for number, content in enumerate(pictures):
            archive.writestr(zipfile.ZipInfo(f"{number}.png"), content)  # without the time of now
    return file.getvalue()


GREY, COLOURS = (png(IMAGES[0, ..., 0]), png(IMAGES[0].repeat(3, axis=-1)))


@settings(SHARES_A_FOLDER, max_examples=settings().max_examples // 4)
@given(damaged(GREY) | damaged(COLOURS) | st.binary(max_size=50))
def test_a_damaged_picture_is_read_as_bytes_or_named(tmp_path, content):
    (tmp_path / "a.png").write_bytes(content)
    (tmp_path / "b.png").write_bytes(GREY)
    with little_memory():
        found = read_or_refuse(lambda: pictures.stream(str(tmp_path), "train", image_size=3).everything())
    assert found is None or found.images.shape[1:3] == (3, 3)


@settings(SHARES_A_FOLDER, max_examples=settings().max_examples // 4)
@given(damaged(zipped_pictures(GREY, COLOURS)) | damaged(npz(images=IMAGES, labels=np.arange(3))))
def test_a_damaged_archive_of_pictures_is_read_or_refused(tmp_path, content):
    path = tmp_path / ("a.zip" if b".png" in content else "a.npz")
    path.write_bytes(content)
    with little_memory():
        found = read_or_refuse(lambda: pictures.stream(str(path), "train", image_size=3).everything())
    assert found is None or found.images.dtype == np.uint8


@settings(max_examples=settings().max_examples // 2)
@given(st.data())
def test_a_damaged_config_is_read_as_valid_or_refused_in_one_line(data):
    text = to_json(data.draw(st.sampled_from(CONFIGS))).encode()
    text = data.draw(damaged(text) | JSON.map(json.dumps).map(str.encode))
    found = read_or_refuse(lambda: from_json(text.decode(errors="replace"), source="config.json"))
    if found is not None:
        validate(found)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"method": {"kind": []}, "run": {}}', '{"method": 1, "run": {}}', ""])
def test_a_config_of_another_form_is_refused_in_one_line(text):
    with pytest.raises(UserError, match="damaged"):
        from_json(text, source="config.json")


FLAGS = ("--seed", "--epochs", "--batch-size", "--width", "--workdir", "--profile", "--data", "--sample-epochs")
VALUES = st.sampled_from(["0", "-1", "1e9", "nan", "inf", "", "x", "None", "1,2", "--", "\n", "é", "1" * 400])


def _validated(config, tokens):
    found = read_flags(config, tokens)
    validate(found)
    return found


@settings(max_examples=settings().max_examples // 16)  # the parser takes far longer than the readers
@given(
    st.sampled_from(CONFIGS), st.lists(st.sampled_from(FLAGS) | VALUES | st.text(max_size=6), min_size=1, max_size=4)
)
def test_a_command_line_is_valid_or_refused_in_one_line(config, tokens):
    found = read_or_refuse(lambda: _validated(config, tokens))
    assert found is None or isinstance(found, Config)
