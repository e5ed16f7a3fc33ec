"""A folder or a disk that fails under a run: one line, the last checkpoint intact, and two runs never in one folder."""

import errno
import fcntl
import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from jaxgan import cli
from jaxgan.data import Dataset, cache, pipeline
from jaxgan.data.catalog import MNIST
from jaxgan.data.prepared import Prepared
from jaxgan.errors import UserError
from jaxgan.runs import checkpoints, tracking, workdir
from jaxgan.runs.workdir import Workdir, locked
from tests.faults import full_disk
from tests.training import assert_same, content, raising

ROOT = Path(__file__).parents[2]


@pytest.fixture
def before(monkeypatch):
    """Does something before a function of a module is called for the so manieth time."""

    def before(module, name, work, *, call=1):
        original, calls = getattr(module, name), iter(range(call - 1))

        def replaced(*args, **options):
            if next(calls, None) is None:
                monkeypatch.setattr(module, name, original)
                work()
            return original(*args, **options)

        monkeypatch.setattr(module, name, replaced)

    return before


@pytest.fixture
def disk(tmp_path):
    """Mounts a small disk where this process may."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def mount(options):
        if subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True).returncode:
            pytest.skip("needs the right to mount a disk")
        return folder

    yield mount
    subprocess.run(["umount", "--lazy", folder], capture_output=True)  # a writer that failed may hold a file open


def one_line(capfd):
    line = capfd.readouterr().err
    assert "Traceback" not in line
    assert line.count("error: ") == 1
    return next(each for each in line.splitlines() if "error: " in each)


MOMENTS = {"log": tracking, "save_samples": tracking, "save": checkpoints, "draw": tracking}


@pytest.mark.parametrize("moment", [pytest.param(m, marks=[pytest.mark.slow] * (m != "save")) for m in MOMENTS])
def test_a_folder_that_is_removed_ends_the_run_in_one_line(start, toy_config, before, capfd, moment):
    root = toy_config.run.workdir
    before(MOMENTS[moment], moment, lambda: shutil.rmtree(root))
    assert start() == 1
    line = one_line(capfd)
    assert line.startswith("vanilla_gan: error: stopped, ")
    assert str(root) in line


def test_a_folder_that_is_replaced_ends_the_run_and_is_not_written(start, toy_config, before, capfd):
    root = toy_config.run.workdir

    def replace():
        root.rename(root.with_name("moved"))
        root.mkdir()
        (root / ".lock").write_text("another run's")

    before(checkpoints, "require_saved", replace, call=2)
    assert start() == 1
    assert f"{str(root)!r} was removed, moved or replaced during the run" in one_line(capfd)
    assert [p.name for p in root.iterdir()] == [".lock"]


@pytest.mark.slow
@pytest.mark.parametrize(("options", "what"), [("size=8m", "bytes"), ("nr_inodes=400", "inodes")])
def test_a_full_disk_keeps_the_last_checkpoint(start, disk, finished_toy_run, options, what):
    folder = disk(options)
    command = [sys.executable, "-m", "tests.faults.full_disk", what, folder]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1
    assert ended.stderr.count("\n") == 1
    assert re.search(r"stopped, checkpoints cannot be written to '[^']*' \(No space left on device\); ", ended.stderr)
    kept = "the checkpoint of step [36] is kept; fix that and run the same command to resume"
    assert re.search(kept, ended.stderr)
    ballast = folder / "ballast"
    shutil.rmtree(ballast) if ballast.is_dir() else ballast.unlink()
    assert start("--workdir", folder / "run") == 0
    assert_same(content(folder / "run"), content(finished_toy_run))


def test_a_disk_that_is_full_at_the_start_is_a_fault_of_the_machine(start, disk, capfd):
    folder = disk("size=1m")
    full_disk.fill(folder)
    assert start("--workdir", folder / "run") == 1
    assert "No space left on device" in one_line(capfd)


@pytest.mark.slow
def test_a_disk_that_fills_with_prepared_data_is_a_fault_of_the_machine(disk, capfd):
    folder = disk("size=1m")
    with pytest.raises(SystemExit, match="1"):
        cli.main(["data", "prepare", "mnist", "--data-dir", str(folder)])
    assert f"{str(folder)!r} cannot be written (No space left on device)" in one_line(capfd)
    assert list(folder.rglob("*")) == []


@pytest.mark.parametrize("number", [errno.EDQUOT, errno.EIO])
def test_a_quota_or_a_broken_disk_is_a_fault_of_the_machine(start, capfd, monkeypatch, number):
    monkeypatch.setattr(workdir, "write_atomically", raising(number))
    assert start() == 1
    assert os.strerror(number) in one_line(capfd)


def test_a_read_only_disk_is_refused(not_started, disk):
    assert "cannot be written (Read-only file system)" in not_started("--workdir", disk("ro") / "run")


def test_the_lock_of_a_dead_process_is_no_obstacle(tmp_path):
    (tmp_path / ".lock").write_text("12345")
    with locked(Workdir(tmp_path)):
        pass


def test_a_lock_that_another_run_holds_survives_ours(tmp_path):
    with locked(Workdir(tmp_path)) as require_here:
        require_here()
        (tmp_path / ".lock").unlink()
        (tmp_path / ".lock").write_text("of a second run")
        with pytest.raises(OSError, match="was removed, moved or replaced"):
            require_here()
    assert (tmp_path / ".lock").read_text() == "of a second run"


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_named_with_the_way_out(tmp_path, monkeypatch, number):
    monkeypatch.setattr(fcntl, "flock", raising(number))
    with pytest.raises(UserError, match=r"--workdir: the file system .* supports no locks .*; mount it with locks, or"):
        locked(Workdir(tmp_path / "run")).__enter__()
    with pytest.raises(UserError, match=r"--data-dir: .* cannot be locked .*, name another"):
        pipeline.prepare(MNIST, data_dir=tmp_path / "data")


def _write_cache(folder, seed):
    images = np.random.default_rng(seed).integers(0, 256, (200, 28, 28, 1), np.uint8)
    for _ in range(20):
        cache.write(MNIST, "train", Dataset("mnist", images, np.full(200, seed, np.int32), ()), prepared=folder)


def test_a_cache_that_two_write_at_once_is_whole_or_none(tmp_path):
    prepared = Prepared(tmp_path, "f" * 64)
    with ThreadPoolExecutor(2) as pool:
        written = [pool.submit(_write_cache, prepared, seed) for seed in (1, 2)]
        while not all(each.done() for each in written):
            if data := cache.read(MNIST, "train", prepared=prepared):
                expected = np.random.default_rng(int(data.labels[0])).integers(0, 256, (200, 28, 28, 1), np.uint8)
                np.testing.assert_array_equal(data.images, expected)
        assert [each.result() for each in written] == [None, None]
    assert len(list((tmp_path / "npy").iterdir())) == 3


def test_a_process_whose_threads_wait_ends_soon_after_its_main_one():
    code = (
        "import sys, threading; from jaxgan.errors import end_with_main_thread;"
        "threading.Thread(target=threading.Event().wait).start(); end_with_main_thread(1, seconds=0); sys.exit(1)"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=30, check=False).returncode == 1


def test_what_the_threads_of_a_failed_save_raise_is_not_shown():
    code = """
from jaxgan.errors import end_with_main_thread
from jaxgan.runtime.signals import exit_on_signals
class Callback:
    def __del__(self):
        raise RuntimeError("Event loop is closed")
with exit_on_signals("toy"):
    end_with_main_thread(1, seconds=0)
Callback()
"""
    done = subprocess.run([sys.executable, "-c", code], timeout=30, check=False, capture_output=True, text=True)
    assert done.stderr == ""
