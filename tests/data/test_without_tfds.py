"""Where TFDS's format cannot be read, as on Windows, data sets of IDX files go from their source to the cache."""

import dataclasses
import sys

import numpy as np
import pytest

from jaxgan.data import pipeline, sources
from jaxgan.errors import UserError
from tests.data.test_sources import pack


@pytest.fixture
def packed(small, tmp_path):
    """The small data set, out of an archive."""
    return dataclasses.replace(small.spec, archive=pack(small.files, tmp_path / "a.tar.xz"))


@pytest.fixture
def hide(monkeypatch):
    """Hides TFDS and its reader from here on."""
    return lambda: [monkeypatch.setitem(sys.modules, name, None) for name in ("array_record", "tensorflow_datasets")]


@pytest.mark.parametrize("split", ["train", "test"])
def test_the_same_arrays_are_loaded_in_the_same_order(split, packed, prepared_dir, tmp_path, hide):
    expected = pipeline.load(packed, split, data_dir=prepared_dir)
    hide()
    found = pipeline.load(packed, split, data_dir=tmp_path / "new")
    np.testing.assert_array_equal(found.images, expected.images)
    np.testing.assert_array_equal(found.labels, expected.labels)


def test_a_second_load_reads_the_cache_and_no_source(packed, tmp_path, monkeypatch, hide):
    hide()
    first = pipeline.load(packed, "train", data_dir=tmp_path / "new")
    monkeypatch.setattr(sources, "fetch", None)
    np.testing.assert_array_equal(pipeline.load(packed, "train", data_dir=tmp_path / "new").images, first.images)


@pytest.mark.parametrize(
    "use", [pipeline.prepare, lambda spec, data_dir: pipeline.stream(spec, "train", data_dir=data_dir)]
)
def test_what_needs_the_reader_says_so(use, packed, tmp_path, hide):
    hide()
    with pytest.raises(UserError, match="--data: 'mnist' needs the package array_record, not installed"):
        use(packed, data_dir=tmp_path / "new")
    assert not (tmp_path / "new").exists()
