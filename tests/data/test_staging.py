"""Preparing is all or nothing, however it ends and whoever else is at it."""

import contextlib
import multiprocessing
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from jaxgan.data import pipeline, tfds_directory
from jaxgan.errors import UserError

from .test_pipeline import everything_below


def test_a_truncated_file_is_refused_and_leaves_nothing_behind(small, tmp_path):
    source = small.write(tmp_path / "idx")
    images = source / "train-images-idx3-ubyte"
    images.write_bytes(images.read_bytes()[:-1])
    with pytest.raises(UserError, match=f"{images}: truncated"):
        pipeline.prepare(small.spec, data_dir=tmp_path / "new" / "data", source=source)
    assert everything_below(tmp_path) == ["idx", *(f"idx/{name}" for name in sorted(small.files))]


def test_a_failure_halfway_through_writing_leaves_nothing_behind(small, tmp_path, monkeypatch):
    source = small.write(tmp_path / "idx")
    encode, calls = tfds_directory._encode_png, iter(range(30))

    def fail_at_row_30(image):
        if next(calls, None) is None:
            raise OSError(28, "No space left on device")
        return encode(image)

    monkeypatch.setattr(tfds_directory, "_encode_png", fail_at_row_30)
    with pytest.raises(OSError, match=r"--data-dir: .* cannot be written \(No space left on device\)"):
        pipeline.prepare(small.spec, data_dir=tmp_path / "data", source=source)
    assert not (tmp_path / "data").exists()


def test_an_unwritable_data_dir_is_refused(small, tmp_path):
    source = small.write(tmp_path / "idx")
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"--data-dir: '.*file/data' cannot be written"):
        pipeline.prepare(small.spec, data_dir=tmp_path / "file" / "data", source=source)


def test_a_data_set_that_tfds_prepared_meanwhile_is_used(small, prepared_dir, tmp_path, monkeypatch):
    source, write = small.write(tmp_path / "idx"), tfds_directory.write

    def write_and_be_overtaken(spec, splits, *, data_dir):
        finished = write(spec, splits, data_dir=data_dir)
        shutil.copytree(prepared_dir / "mnist", tmp_path / "contested" / "mnist")
        return finished

    monkeypatch.setattr(tfds_directory, "write", write_and_be_overtaken)
    pipeline.prepare(small.spec, data_dir=tmp_path / "contested", source=source)
    assert everything_below(tmp_path / "contested") == everything_below(prepared_dir)


@pytest.mark.slow
def test_two_processes_can_prepare_at_once(small, tmp_path):
    source = small.write(tmp_path / "idx")
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        results = [pool.apply_async(_prepare_and_sum, (small.spec, tmp_path / "data", source)) for _ in range(2)]
        sums = [result.get(timeout=60) for result in results]
    assert sums == [int(small.images["train"].sum())] * 2
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["mnist"]
    assert len(list((tmp_path / "data" / "mnist" / "3.0.1" / "npy").iterdir())) == 3


@contextlib.contextmanager
def _preparing_forever(data_dir):
    """Another process, which has begun to prepare and waits for its source."""
    program = f"""
import time
from pathlib import Path
from jaxgan.data import pipeline, sources
from jaxgan.data.catalog import MNIST

def wait(*args, **kwargs):
    print("waiting", flush=True)
    time.sleep(600)

sources.fetch = wait
pipeline.prepare(MNIST, data_dir=Path({str(data_dir)!r}))
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout.readline() == "waiting\n"
            yield process
        finally:
            process.kill()


def test_what_a_killed_process_left_is_removed_by_the_next_one(small, tmp_path):
    source, data_dir = small.write(tmp_path / "idx"), tmp_path / "data"
    with _preparing_forever(data_dir) as process:
        process.terminate()
        process.wait()
    assert sorted(path.name for path in data_dir.iterdir()) == [".lock", pipeline.STAGING]
    pipeline.prepare(small.spec, data_dir=data_dir, source=source)
    assert [path.name for path in data_dir.iterdir()] == ["mnist"]


def test_a_process_waits_for_one_that_prepares_until_it_ends(small, tmp_path):
    source, data_dir = small.write(tmp_path / "idx"), tmp_path / "data"
    with _preparing_forever(data_dir) as process, ThreadPoolExecutor() as pool:
        waiting = pool.submit(pipeline.prepare, small.spec, data_dir=data_dir, source=source)
        with pytest.raises(TimeoutError):
            waiting.result(timeout=0.5)
        process.kill()
        assert waiting.result(timeout=60).directory == data_dir / "mnist" / "3.0.1"


def test_unfinished_folders_of_other_programs_stay(small, tmp_path):
    folder = tmp_path / "data" / "incomplete.drawings"
    folder.mkdir(parents=True)
    pipeline.prepare(small.spec, data_dir=tmp_path / "data", source=small.write(tmp_path / "idx"))
    assert folder.exists()


def _prepare_and_sum(spec, data_dir, source):
    pipeline.prepare(spec, data_dir=data_dir, source=source)
    return int(pipeline.load(spec, "train", data_dir=data_dir).images.sum())
