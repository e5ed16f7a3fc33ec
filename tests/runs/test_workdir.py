import io
import json
import os

import numpy as np
import pytest

from jaxgan.runs.workdir import Workdir, check_resume, load_config, locked, write_atomically
from tests.training import files_below, snapshot, with_run


def npy(array):
    content = io.BytesIO()
    np.save(content, array)
    return content.getvalue()


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--seed", 1), "--seed (0 in the run, 1 asked for)"),
        (("--beta1", 0.5, "--resume", "must"), "--beta1 (0.9 in the run, 0.5 asked for)"),
        (("--epochs", 2), "--epochs: 2 is not allowed, the run is already at epoch 3"),
    ],
)
def test_a_run_does_not_go_on_with_other_numbers_and_stays(not_started, finished, flags, words):
    before = snapshot(finished.root)
    assert words in not_started(*flags)
    assert snapshot(finished.root) == before


@pytest.mark.parametrize(
    ("resume", "checkpointed", "goes_on"),
    [("auto", True, True), ("auto", False, False), ("never", True, False), ("must", True, True)],
)
def test_a_run_goes_on_from_a_checkpoint_unless_never(toy_config, resume, checkpointed, goes_on):
    config = with_run(toy_config, resume=resume)
    assert check_resume(config, started=toy_config, checkpointed=checkpointed) == goes_on


def test_a_config_that_an_editor_saved_with_a_byte_order_mark_is_read(finished):
    config = load_config(finished)
    finished.config.write_bytes(b"\xef\xbb\xbf" + finished.config.read_bytes().replace(b"\n", b"\r\n"))
    assert load_config(finished) == config


def test_a_folder_of_something_else_is_refused_and_kept(not_started, finished):
    finished.config.unlink()
    assert "no config.json of a run" in not_started("--resume", "never")
    assert finished.metrics.exists()


def test_a_second_run_in_the_same_folder_is_refused(not_started, finished):
    before = files_below(finished.root)
    with locked(finished):
        assert "is in use by another run" in not_started("--epochs", 4)
    assert files_below(finished.root) == before


def test_a_lock_leaves_nothing_behind(tmp_path):
    with locked(Workdir(tmp_path / "new")):
        assert (tmp_path / "new").is_dir()
    assert not (tmp_path / "new").exists()


def test_resume_never_replaces_the_earlier_run_and_keeps_files_and_links(start, finished, undrawn, tmp_path):
    (finished.root / "notes.txt").write_text("mine")
    finished.checkpoints.rename(tmp_path / "another disk")
    finished.checkpoints.symlink_to(tmp_path / "another disk")
    assert start("--resume", "never", "--seed", 1, "--epochs", 1) == 0
    assert [json.loads(line)["step"] for line in finished.metrics.read_text().splitlines()] == [2, 3]
    assert [p.name for p in finished.samples.iterdir()] == ["epoch_0001.npy"]
    assert (finished.root / "notes.txt").read_text() == "mine"
    assert [p.name for p in (tmp_path / "another disk").iterdir() if p.name.isdigit()] == ["3"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("metrics.jsonl", b'{"bad"}\n'),
        ("metrics.jsonl", b'{"a": 1}\n'),
        ("metrics.jsonl", b"[1]\n"),
        ("metrics.jsonl", b'{"step": 1}\n'),
        ("metrics.jsonl", b'{"step": 1, "epoch": 1.0, "loss": "high"}\n'),
        ("samples/epoch_0001.npy", b""),
        ("samples/epoch_0001.npy", npy(np.zeros(10, np.uint8))),
    ],
)
def test_a_damaged_file_of_the_run_is_named_in_one_line(not_started, finished, name, content):
    (finished.root / name).write_bytes(content)
    before = snapshot(finished.root)
    assert str(finished.root / name) in not_started("--epochs", 4)
    assert snapshot(finished.root) == before


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path):
    path = tmp_path / "file"
    write_atomically(path, "old")
    with pytest.raises(TypeError):
        write_atomically(path, 7)
    assert path.read_text() == "old"
    write_atomically(path, b"new")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
    assert path.read_text() == "new"


@pytest.mark.parametrize("mask", [0o077, 0o002, 0o022])
def test_a_file_is_readable_for_whom_the_user_s_mask_says(tmp_path, mask):
    before = os.umask(mask)
    try:
        write_atomically(tmp_path / "file", "new")
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o666 & ~mask
