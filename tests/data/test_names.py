import os

import pytest

from jaxgan import data
from jaxgan.errors import UserError


def test_what_stands_for_arrays_is_no_name_and_no_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / data.ARRAYS).mkdir()
    for find in (data.load, data.stream):
        with pytest.raises(UserError, match=r"^--data: the images of this run are arrays of a program; in Python"):
            find(data.ARRAYS, data_dir=tmp_path)


def test_names_of_the_catalog_and_of_tfds_are_no_paths(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    os.mkdir("mnist")
    os.mkdir("mine")
    assert [data.is_path(name) for name in ("mnist", "imagenette/160px", "mine", "./mnist", "a.zip")] == [
        False, False, True, True, True,
    ]  # fmt: skip
    assert data.key("mnist") == "mnist"
    assert data.key("mine").startswith("mine-")
    assert data.key("mine") != data.key("./mnist")


def test_a_prepared_data_set_in_the_working_directory_is_named_not_a_path(tmp_path, monkeypatch):
    (tmp_path / "depth" / "1.0.0").mkdir(parents=True)
    (tmp_path / "depth" / "1.0.0" / "dataset_info.json").touch()
    monkeypatch.chdir(tmp_path)
    assert not data.is_path("depth")
    with pytest.raises(
        UserError, match=r"^--data: './depth' is a prepared TFDS data set; give --data depth --data-dir"
    ):
        data.load("./depth", data_dir=tmp_path)
