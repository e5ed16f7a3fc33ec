import errno
import json
import os
import subprocess
import sys

import numpy as np
import pytest

from jaxgan.data import pipeline, tfds_directory
from jaxgan.data.prepared import default_data_dir, inspect
from jaxgan.errors import UserError


def rows(images, labels):
    """The labelled images regardless of their order."""
    return sorted(zip(labels.tolist(), (image.tobytes() for image in images), strict=True))


def everything_below(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def forbid_reading(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("the prepared directory was decoded again")

    monkeypatch.setattr(tfds_directory, "read", refuse)


@pytest.mark.parametrize("split", ["train", "test"])
def test_what_is_loaded_is_what_the_files_held(small, prepared_dir, split):
    data = pipeline.load(small.spec, split, data_dir=prepared_dir)
    assert rows(data.images, data.labels) == rows(small.images[split], small.labels[split])
    assert (data.images.dtype, data.images.shape[1:]) == (np.uint8, (28, 28, 1))
    assert (data.labels.dtype, data.class_names) == (np.int32, tuple("0123456789"))


def test_anyones_tfds_reads_the_directory_and_sees_the_same_order(small, prepared_dir):
    import tensorflow_datasets as tfds  # slow, and of no use to the other tests

    ours = pipeline.load(small.spec, "train", data_dir=prepared_dir)
    for source in (
        tfds.data_source("mnist", split="train", data_dir=prepared_dir, download=False),
        tfds.builder_from_directory(prepared_dir / "mnist" / "3.0.1").as_data_source("train"),
    ):
        theirs = list(source)
        np.testing.assert_array_equal(ours.images, [row["image"] for row in theirs])
        np.testing.assert_array_equal(ours.labels, [row["label"] for row in theirs])


def test_the_directory_does_not_tell_who_prepared_it(prepared_dir):
    directory = prepared_dir / "mnist" / "3.0.1"
    info = json.loads((directory / "dataset_info.json").read_text())
    assert info["moduleName"] == "tensorflow_datasets.image_classification.mnist"
    assert everything_below(prepared_dir) == [
        "mnist",
        "mnist/3.0.1",
        "mnist/3.0.1/dataset_info.json",
        "mnist/3.0.1/features.json",
        "mnist/3.0.1/mnist-test.array_record-00000-of-00001",
        "mnist/3.0.1/mnist-train.array_record-00000-of-00001",
    ]


def test_a_second_load_maps_the_cache_and_never_imports_tfds(small, prepared_dir):
    first = pipeline.load(small.spec, "train", data_dir=prepared_dir)
    program = f"""
import dataclasses, sys
sys.modules["tensorflow_datasets"] = None  # makes importing it an error
from jaxgan.data import pipeline
from jaxgan.data.catalog import MNIST
from pathlib import Path
spec = dataclasses.replace(MNIST, examples={small.spec.examples!r})
data = pipeline.load(spec, "train", data_dir=Path({str(prepared_dir)!r}))
print(type(data.images).__name__, data.images.sum(), "jax" in sys.modules)
"""
    output = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert output.split() == ["memmap", str(first.images.sum()), "False"]


def test_the_cache_is_read_only(small, prepared_dir):
    data = pipeline.load(small.spec, "train", data_dir=prepared_dir)
    with pytest.raises(ValueError, match="read-only"):
        data.images[0] = 0


def test_a_rebuilt_directory_invalidates_the_cache(small, other, prepared_dir, tmp_path):
    before = pipeline.load(small.spec, "train", data_dir=prepared_dir)
    source = other.write(tmp_path / "other")
    pipeline.prepare(other.spec, data_dir=tmp_path / "rebuilt", source=source)
    for shard in (tmp_path / "rebuilt" / "mnist" / "3.0.1").iterdir():
        os.replace(shard, prepared_dir / "mnist" / "3.0.1" / shard.name)
    after = pipeline.load(small.spec, "train", data_dir=prepared_dir)
    assert rows(after.images, after.labels) == rows(other.images["train"], other.labels["train"])
    assert rows(before.images, before.labels) == rows(small.images["train"], small.labels["train"])


@pytest.mark.parametrize("file", ["train.images.npy", "train.labels.npy", "train.json"])
@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "gone"])
def test_a_damaged_cache_is_made_again(small, prepared_dir, file, damage, monkeypatch):
    pipeline.load(small.spec, "train", data_dir=prepared_dir)
    path = prepared_dir / "mnist" / "3.0.1" / "npy" / file
    content = path.read_bytes()
    middle = len(content) // 2
    damaged = {"cut": content[:middle], "empty": b"", "gone": None}.get(
        damage, content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
    )
    path.unlink()  # a new file, as the mapping of the first load must not see the damage
    if damaged is not None:
        path.write_bytes(damaged)
    data = pipeline.load(small.spec, "train", data_dir=prepared_dir)
    assert rows(data.images, data.labels) == rows(small.images["train"], small.labels["train"])
    assert path.read_bytes() == content
    forbid_reading(monkeypatch)
    pipeline.load(small.spec, "train", data_dir=prepared_dir)


def test_where_the_directory_takes_no_cache_the_users_cache_folder_does(small, prepared_dir, tmp_path, monkeypatch):
    # A file in the folder's place stands for a read-only disk, which the superuser of a container does not notice.
    (prepared_dir / "mnist" / "3.0.1" / "npy").write_text("in the way")
    pipeline.load(small.spec, "train", data_dir=prepared_dir)
    assert [path.name for path in tmp_path.glob("user_cache/jaxgan/*/*.json")] == ["train.json"]
    forbid_reading(monkeypatch)
    assert isinstance(pipeline.load(small.spec, "train", data_dir=prepared_dir).images, np.memmap)


def test_where_nothing_takes_a_cache_the_data_is_loaded_all_the_same(small, prepared_dir, tmp_path):
    (prepared_dir / "mnist" / "3.0.1" / "npy").write_text("in the way")
    (tmp_path / "user_cache").write_text("in the way")
    data = pipeline.load(small.spec, "test", data_dir=prepared_dir)
    assert rows(data.images, data.labels) == rows(small.images["test"], small.labels["test"])


def test_a_cache_that_cannot_be_finished_leaves_no_temporary_file(small, prepared_dir, tmp_path, monkeypatch):
    def fail_halfway(file, array):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "save", fail_halfway)
    data = pipeline.load(small.spec, "test", data_dir=prepared_dir)
    assert rows(data.images, data.labels) == rows(small.images["test"], small.labels["test"])
    assert not [path for path in tmp_path.rglob("*") if "npy" in path.name and path.is_file()]


@pytest.mark.parametrize(
    ("file", "damage", "message"),
    [
        ("mnist-train.array_record-00000-of-00001", lambda b: b[: len(b) // 2], "damaged"),
        ("mnist-train.array_record-00000-of-00001", lambda b: b[:9000] + b"damage" + b[9006:], "damaged"),
        ("mnist-train.array_record-00000-of-00001", lambda b: b"", "damaged"),
        ("mnist-train.array_record-00000-of-00001", None, "lacks mnist-train.array_record"),
        ("dataset_info.json", lambda b: b[: len(b) // 2], "not a prepared data set"),
        ("dataset_info.json", lambda b: b"[]", "not a prepared data set"),
        ("dataset_info.json", lambda b: b.replace(b'"50"', b'"49"'), "has 49 train images, but mnist has 50"),
        ("dataset_info.json", lambda b: b.replace(b'"array_', b'"tf'), "prepared as tfrecord.*name another --data-dir"),
        ("dataset_info.json", None, "not a prepared data set"),
        ("features.json", None, "not a prepared data set"),
    ],
)
def test_a_damaged_directory_is_named_in_one_line_and_left_alone(small, prepared_dir, file, damage, message):
    path = prepared_dir / "mnist" / "3.0.1" / file
    content = path.read_bytes()
    path.unlink()
    if damage:
        path.write_bytes(damage(content))
    before = everything_below(prepared_dir)
    with pytest.raises(UserError, match=f"{path.parent}: {message}") as caught:
        pipeline.load(small.spec, "train", data_dir=prepared_dir)
    assert "\n" not in str(caught.value)
    assert everything_below(prepared_dir) == before


def test_a_directory_that_also_has_a_readable_format_is_read(small, prepared_dir):
    path = prepared_dir / "mnist" / "3.0.1" / "dataset_info.json"
    info = json.loads(path.read_text()) | {"fileFormat": "tfrecord", "alternativeFileFormats": ["array_record"]}
    path.write_text(json.dumps(info))
    data = pipeline.load(small.spec, "train", data_dir=prepared_dir)
    assert rows(data.images, data.labels) == rows(small.images["train"], small.labels["train"])


def test_the_default_folder_is_the_one_of_tfds(monkeypatch, tmp_path):
    assert default_data_dir() == tmp_path / "home" / "tensorflow_datasets"
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "elsewhere"))
    assert default_data_dir() == tmp_path / "elsewhere"


def test_a_home_folder_that_does_not_exist_names_the_variable(monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", "~no such user/x")
    with pytest.raises(UserError, match="TFDS_DATA_DIR: '~no such user/x'"):
        default_data_dir()


def test_a_data_set_in_a_folder_that_one_may_not_enter_is_refused(small, prepared_dir, forbid_entering):
    forbid_entering(prepared_dir / "mnist")
    with pytest.raises(UserError, match=rf"mnist/3\.0\.1: cannot be entered \({os.strerror(errno.EACCES)}\)"):
        inspect(small.spec, prepared_dir)


def test_an_unknown_split_is_refused_by_name(small, prepared_dir):
    with pytest.raises(
        UserError, match="--data: split of 'mnist': 'tests' is not known, choose from test, train; did you mean 'test'"
    ):
        pipeline.load(small.spec, "tests", data_dir=prepared_dir)


def test_looking_touches_nothing(small, tmp_path):
    assert inspect(small.spec, tmp_path / "data") is None
    assert everything_below(tmp_path) == []
