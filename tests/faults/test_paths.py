import os
import re
import sys
from functools import partial
from pathlib import Path

import jax
import numpy as np
import pytest

from jaxgan import cli, data
from jaxgan.errors import UserError
from jaxgan.runs import checkpoints, launch
from jaxgan.runs.workdir import Workdir, load_config, require_writable
from jaxgan.runtime.devices import replicated
from jaxgan.runtime.program import Carry
from tests.training import assert_same, content, with_run

STRANGE = [
    "a b",
    "a'b",
    'a"b',
    "ü漢e\u0301",
    "a\nb",
    "a\tb",
    "%20",
    "a#b",
    "~a",
    "-dash",
    "a]b",
    "$HOME",
    "a;b&c|d",
    "a{b}!",
]
STRANGE += ["a,b=c", "a:b@c", "...a", "x" * 200]
REFUSED = {"a[b]": "'['", "a*b": "'*'", "a?b": "'?'", "a\\b": "backslash", "a\udc80b": "bytes that are not text"}
ADDRESSES = {"gs://bucket/run": "gcsfs", "s3://bucket/run": "s3fs", "az://bucket/run": "adlfs", "hdfs://h:9000/run": ""}
ADDRESSES |= {"made-up://bucket/run": "", "gs://bucket/[run]": ""}


def names_below(folder):
    return sorted(os.listdir(folder))


@pytest.mark.parametrize("name", STRANGE)
def test_a_checkpoint_is_read_back_under_a_strange_name(tmp_path, name):
    require_writable(tmp_path / name)
    everywhere = replicated(jax.devices()[:1])
    carry = jax.device_put(Carry({"x": np.arange(3.0)}, {}, np.int32(7)), everywhere)
    with checkpoints.checkpoint_manager(tmp_path / name / "checkpoints") as manager:
        checkpoints.save(manager, carry, step=3)
    with checkpoints.checkpoint_manager(tmp_path / name / "checkpoints", read_only=True) as manager:
        found = checkpoints.restore(manager, jax.eval_shape(lambda: carry), step=3, sharding=everywhere)
    np.testing.assert_array_equal(found.state["x"], np.arange(3.0))


@pytest.mark.parametrize("name", REFUSED)
def test_a_path_under_which_checkpoints_are_lost_is_refused(not_started, tmp_path, name):
    line = not_started("--workdir", tmp_path / name / "run")
    assert line.startswith("vanilla_gan: error: --workdir: ")
    assert REFUSED[name] in line
    assert line.endswith("give another folder\n")
    assert names_below(tmp_path) == []


def test_a_folder_in_one_that_was_removed_is_refused(tmp_path, monkeypatch):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(
        UserError, match=r"^--workdir: 'run' is in the current folder, which was removed; go to another"
    ):
        require_writable(Path("run"))


@pytest.mark.parametrize("address", ADDRESSES)
def test_an_address_is_refused_before_anything_is_written(toy_config, tmp_path, monkeypatch, refused, address):
    monkeypatch.chdir(tmp_path)
    for package in ("gcsfs", "s3fs", "adlfs", "pyarrow"):
        monkeypatch.setitem(sys.modules, package, None)
    way_out = f"; python -m pip install {ADDRESSES[address]}\n" * bool(ADDRESSES[address])
    commands = (["evaluate", address], ["export", address, "--format", "torch"])
    lines = [refused(cli.main, *command) for command in commands]
    for line in (*lines, refused(partial(launch.main, toy_config), "--workdir", address)):
        assert re.search(r"'\S+' cannot be reached|'\S+' is an address, it must be a folder; mount the", line)
        assert line.endswith(way_out or "\n")
    with pytest.raises(UserError, match=r"--data-dir: .* is an address"):
        data.prepare("mnist", data_dir=address)
    monkeypatch.setenv("TFDS_DATA_DIR", address)
    with pytest.raises(UserError, match=r"TFDS_DATA_DIR: .* is an address"):
        data.prepare("mnist")
    assert names_below(tmp_path) == []


@pytest.mark.slow
def test_a_run_goes_on_under_a_relative_linked_strange_path(
    finished_toy_run, toy_config, toy_data, tmp_path, monkeypatch
):
    (tmp_path / "disk ü'\"%#").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "disk ü'\"%#")
    monkeypatch.chdir(tmp_path)
    config = with_run(toy_config, workdir=Path("link") / "a b\n漢]", devices=1, epochs=1)
    launch.run(config)
    launch.run(with_run(config, epochs=3))
    assert_same(content(config.run.workdir), content(finished_toy_run))
    assert names_below(tmp_path) == ["disk ü'\"%#", "link"]


def test_a_file_in_the_folder_s_place_is_refused_and_kept(not_started, tmp_path):
    (tmp_path / "file").write_text("mine")
    assert "is a file, it must be a folder" in not_started("--workdir", tmp_path / "file")
    assert "cannot be written (Not a directory)" in not_started("--workdir", tmp_path / "file" / "run")
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.skipif(sys.platform != "linux", reason="needs a file system that takes no folders")
def test_an_unwritable_folder_is_refused(not_started):
    assert "'/proc/run' cannot be written" in not_started("--workdir", "/proc/run")


def test_a_name_that_is_too_long_is_refused(tmp_path):
    with pytest.raises(UserError, match="File name too long"):
        load_config(Workdir(tmp_path / ("x" * 300)))
