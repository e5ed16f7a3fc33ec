import json
import os

import pytest
from rich.console import Console

from jaxgan import cli
from jaxgan.runs import overview
from jaxgan.runs.workdir import Workdir


@pytest.fixture
def runs(finished, toy_config):
    """A finished run, one to go on with, one that saved nothing and a damaged one, at several depths."""
    root = finished.root.parent / "runs"
    for name, epochs in (("done", 3), ("deep/half", 8), ("[b]new[/b]", 3), ("bad", 3)):
        folder = Workdir(root / name)
        folder.root.mkdir(parents=True)
        tree = json.loads(finished.config.read_text())
        tree["run"]["epochs"] = epochs
        folder.config.write_text(json.dumps(tree) if name != "bad" else "{")
        if "new" not in name:
            (folder.checkpoints / "9").mkdir(parents=True)
            folder.metrics.write_bytes(finished.metrics.read_bytes())
    return root


def test_each_run_is_listed_with_its_state_and_last_metric(runs):
    found = {run.folder.name: run for run in overview.find_runs(runs)}
    assert {name: run.state for name, run in found.items()} == {
        "done": "finished", "half": "resumes from step 9", "b]": "nothing saved", "bad": "damaged",
    }  # fmt: skip
    assert (found["half"].epoch, found["half"].epochs, found["half"].method) == (3, 8, "Vanilla GAN")
    assert found["done"].metrics["step"] == 9
    assert found["done"].size > 500


def test_a_checkpoint_that_is_deleted_meanwhile_ends_no_list(runs, monkeypatch):
    deleted = runs / "done" / "metrics.jsonl"
    usual = os.lstat
    monkeypatch.setattr(os, "lstat", lambda path, **how: usual(runs / "none" if str(path) == str(deleted) else path))
    (found,) = overview.find_runs(runs / "done")
    assert found.size == (runs / "done" / "config.json").stat().st_size


def test_the_table_has_a_row_for_each_run_and_no_markup_of_names(runs, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "150")
    cli.main(["runs", str(runs)])
    shown = capsys.readouterr().out
    assert "[b]new[/b]" in shown
    assert "deep/half" in shown
    assert "3/8" in shown
    assert "generator_loss 0." in shown
    assert len(overview.table([], root=runs).rows) == 0
    Console().print(overview.table([], root=runs))


def test_a_folder_without_runs_and_no_folder_are_told(tmp_path, capsys, refused):
    cli.main(["runs", str(tmp_path)])
    assert "There is no run in" in capsys.readouterr().out
    assert "is not a folder, give one that holds runs" in refused(cli.main, "runs", tmp_path / "absent")


@pytest.mark.skipif(not os.path.exists("/dev/zero"), reason="no device to read for ever")
def test_rows_on_a_device_are_not_read_for_ever(runs):
    (runs / "done" / "metrics.jsonl").unlink()
    (runs / "done" / "metrics.jsonl").symlink_to("/dev/zero")
    (run,) = overview.find_runs(runs / "done")
    assert (run.metrics, run.epoch) == ({}, 0)
