import dataclasses
import io
import tarfile
import time
import urllib.error

import pytest

from jaxgan.data import sources, tfds_directory
from jaxgan.errors import UserError


def pack(files, path):
    with tarfile.open(path, "w:xz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


@pytest.mark.parametrize("zipped", [False, True])
def test_a_folder_gives_its_files_gzipped_or_not(small, tmp_path, zipped):
    assert sources.read_folder(small.write(tmp_path, zipped=zipped), spec=small.spec) == small.files


def test_an_archive_gives_its_files(small, tmp_path):
    assert sources.read_archive(pack(small.files, tmp_path / "a.tar.xz"), spec=small.spec) == small.files


def test_a_missing_file_is_named(small, tmp_path):
    (small.write(tmp_path) / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(UserError, match="lacks t10k-labels-idx1-ubyte"):
        sources.read_folder(tmp_path, spec=small.spec)


@pytest.mark.parametrize("kept", [0, 5, 400, -1])
def test_a_truncated_gzip_file_is_named(small, tmp_path, kept):
    damaged = small.write(tmp_path, zipped=True) / "train-images-idx3-ubyte.gz"
    damaged.write_bytes(damaged.read_bytes()[:kept])
    with pytest.raises(UserError, match="train-images-idx3-ubyte"):
        sources.fetch(small.spec, source=tmp_path, scratch=tmp_path / "scratch")


@pytest.mark.parametrize("fraction", [0, 0.001, 0.5, 0.999])
def test_a_truncated_archive_is_refused(small, tmp_path, fraction):
    whole = pack(small.files, tmp_path / "a.tar.xz").read_bytes()
    (tmp_path / "a.tar.xz").write_bytes(whole[: int(fraction * len(whole))])
    with pytest.raises(UserError, match=r"a\.tar\.xz: the embedded archive is damaged"):
        sources.read_archive(tmp_path / "a.tar.xz", spec=small.spec)


def test_an_archive_that_lacks_a_file_is_refused(small, tmp_path):
    archive = pack(dict(list(small.files.items())[:3]), tmp_path / "a.tar.xz")
    with pytest.raises(UserError, match="lacks a file"):
        sources.read_archive(archive, spec=small.spec)


def test_a_given_folder_comes_before_the_archive_before_the_network(small, other, tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "download", lambda spec, *, scratch: other.files)
    unchecked = dataclasses.replace(small.spec, md5={})
    packed = dataclasses.replace(unchecked, archive=pack(small.files, tmp_path / "a.tar.xz"))

    def first_pixel(spec, source):
        return sources.fetch(spec, source=source, scratch=tmp_path)["train"].images[0, 0, 0, 0]

    theirs, ours = other.images["train"][0, 0, 0], small.images["train"][0, 0, 0]
    assert first_pixel(packed, other.write(tmp_path / "idx")) == theirs
    assert first_pixel(packed, None) == ours
    assert first_pixel(unchecked, None) == theirs


def test_without_a_network_the_error_is_quick_and_names_other_ways(small, tmp_path, monkeypatch):
    def unreachable(request, timeout):
        assert timeout <= 3
        raise urllib.error.URLError("name resolution failed")

    monkeypatch.setattr(sources.urllib.request, "urlopen", unreachable)
    monkeypatch.setattr(tfds_directory, "url", lambda spec: "http://host.invalid/")
    start = time.monotonic()
    with pytest.raises(UserError) as caught:
        sources.fetch(small.spec, source=None, scratch=tmp_path)
    assert time.monotonic() - start < 1
    for way in ("http://host.invalid/", "--data-dir", "--from DIR", "--data mnist"):
        assert way in str(caught.value)
    assert "\n" not in str(caught.value)
