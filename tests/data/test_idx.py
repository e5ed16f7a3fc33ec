import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from jaxgan.data import catalog
from jaxgan.data.catalog import FASHION_MNIST, MNIST
from jaxgan.data.idx import assemble, decode
from jaxgan.errors import UserError

from .conftest import encode_idx

arrays = hnp.arrays(np.uint8, hnp.array_shapes(min_dims=1, max_dims=3, max_side=5))


@given(array=arrays)
def test_decoding_inverts_encoding(array):
    decoded = decode(encode_idx(array), file="x")
    assert decoded.shape == array.shape
    assert decoded.tobytes() == array.tobytes()


@given(array=arrays, data=st.data())
def test_a_file_cut_anywhere_is_refused(array, data):
    content = encode_idx(array)
    cut = data.draw(st.integers(0, len(content) - 1))
    with pytest.raises(UserError, match=r"^some/file: "):
        decode(content[:cut], file="some/file")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"<html>not found</html>", "not an IDX file"),
        (b"\x1f\x8b\x08\x00rest of a gzip file", "not an IDX file"),
        (b"\0\0\x0d\x01\0\0\0\x01\0\0\0\0", "type 0x0d"),
        (b"\0\0\x08\x01\0\0\0\x01ab", "too long"),
    ],
)
def test_content_that_is_not_what_its_header_says_is_refused(content, message):
    with pytest.raises(UserError, match=message):
        decode(content, file="x")


def test_the_four_files_become_two_splits_in_the_order_of_the_files(small):
    splits = assemble(small.spec, small.files, origin="here")
    assert list(splits) == ["train", "test"]
    for split, data in splits.items():
        np.testing.assert_array_equal(data.images[..., 0], small.images[split])
        np.testing.assert_array_equal(data.labels, small.labels[split])
        assert (data.images.dtype, data.labels.dtype) == (np.uint8, np.int32)


def test_files_of_another_data_set_are_refused_by_checksum(small, other):
    with pytest.raises(UserError, match=r"here/train-images-idx3-ubyte: has MD5 .* another data set"):
        assemble(small.spec, other.files, origin="here")


def test_files_known_to_be_another_data_sets_are_refused_naming_both(small, other, monkeypatch):
    unpinned = dataclasses.replace(small.spec, name="ours", title="Our images", md5={})
    theirs = dataclasses.replace(other.spec, name="theirs", title="Their images")
    monkeypatch.setattr(catalog, "CATALOG", {"ours": unpinned, "theirs": theirs})
    with pytest.raises(UserError, match=r"here/.*: belongs to theirs \(Their images\), not to ours \(Our images\)"):
        assemble(unpinned, other.files, origin="here")


def test_a_file_that_two_data_sets_share_is_accepted_by_both(small, other, monkeypatch):
    labels = "t10k-labels-idx1-ubyte"
    assert small.files[labels] == other.files[labels]
    one, two = (dataclasses.replace(each.spec, name=name) for name, each in {"one": small, "two": other}.items())
    monkeypatch.setattr(catalog, "CATALOG", {"one": one, "two": two})
    assert assemble(one, small.files, origin="here")["test"].name == "one"
    assert assemble(two, other.files, origin="here")["test"].name == "two"


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("train-labels-idx1-ubyte", np.zeros(49, np.uint8), r"has shape \(49,\), mnist needs \(50,\)"),
        ("t10k-images-idx3-ubyte", np.zeros((20, 28, 27), np.uint8), r"has shape \(20, 28, 27\)"),
        ("train-images-idx3-ubyte", np.zeros(50, np.uint8), r"has shape \(50,\), mnist needs \(50, 28, 28\)"),
        ("t10k-labels-idx1-ubyte", np.full(20, 10, np.uint8), "label 10 is outside 0 to 9"),
    ],
)
def test_an_array_that_disagrees_with_the_data_set_is_refused(small, name, array, message):
    unchecked = dataclasses.replace(small.spec, md5={})
    with pytest.raises(UserError, match=f"here/{name}.*{message}"):
        assemble(unchecked, {**small.files, name: encode_idx(array)}, origin="here")


@pytest.mark.parametrize("spec", [MNIST, FASHION_MNIST], ids=lambda spec: spec.name)
def test_all_four_files_are_pinned_and_no_other_data_set_has_them(spec):
    assert list(spec.md5) == [name for split in spec.examples for name in catalog.IDX_FILES[split]]
    assert all(catalog.owner_of(md5) is spec for md5 in spec.md5.values())
