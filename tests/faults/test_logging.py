"""A log that cannot be written costs rows, says so once, and neither ends the run nor blocks it."""

import contextlib
import json
import resource
import threading

import jax
import numpy as np
import pytest

from jaxgan.runs import tracking
from jaxgan.runs.logs import Events, Lines
from jaxgan.runs.workdir import Workdir
from tests.training import final_state, train_config

ROWS = [{"step": step, "epoch": 1.0, "loss": 0.5} for step in (1, 2, 3)]


@contextlib.contextmanager
def files_of_at_most(size):
    """Lets no file grow beyond a size: what is written reaches it in part and fails then, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture
def full(tmp_path):
    """A file on a disk without room."""
    (tmp_path / "rows.jsonl").symlink_to("/dev/full")
    return tmp_path / "rows.jsonl"


def test_rows_wait_for_room_and_the_failure_is_said_once(full, caplog):
    log = Lines(full)
    log.append(ROWS[0])
    log.append(ROWS[1])
    full.unlink()
    log.append(ROWS[2])
    log.close()
    assert [json.loads(line) for line in full.read_text().splitlines()] == ROWS
    (record,) = caplog.records
    assert record.getMessage() == f"{full}: cannot be written (No space left on device); training continues"


def test_rows_that_found_no_room_are_named_at_the_end(full, caplog):
    log = Lines(full)
    for row in ROWS:
        log.append(row)
    log.close()
    assert caplog.records[-1].getMessage() == f"{full}: the rows of steps 1 to 3 are lost"


def test_a_file_never_ends_in_half_a_row(tmp_path, caplog):
    log = Lines(tmp_path / "rows.jsonl")
    log.append(ROWS[0])
    whole = (tmp_path / "rows.jsonl").read_bytes()
    with files_of_at_most(len(whole) + 5):
        log.append(ROWS[1])
    assert (tmp_path / "rows.jsonl").read_bytes() == whole
    log.append(ROWS[2])
    assert tracking.read_rows(tmp_path / "rows.jsonl") == ROWS
    assert len(caplog.records) == 1


@pytest.mark.parametrize("moment", ["opened", "written", "closed"])
def test_events_that_cannot_be_written_are_given_up_and_said_once(moment, tmp_path, caplog):
    (tmp_path / "file").touch()
    events = Events(tmp_path / ("file" if moment == "opened" else "events"), step=5)
    with files_of_at_most(10):
        if moment == "written":
            for step in range(100):
                events.add({"loss": 1.0}, step=step)
        events.close()
    events.add({"loss": 1.0}, step=101)
    events.close()
    (record,) = caplog.records
    assert "cannot be written" in record.getMessage()


def test_a_trace_that_cannot_be_written_is_said_and_ends_nothing(tmp_path, caplog):
    (tmp_path / "profile").touch()
    with tracking.profiler(tmp_path / "profile", range(2, 4), step=0) as recorded:
        for start in (0, 2, 4):
            with recorded(start, start + 2):
                pass
    (record,) = caplog.records
    assert f"{tmp_path / 'profile'}: cannot be written" in record.getMessage()
    (tmp_path / "profile").unlink()
    with contextlib.suppress(RuntimeError):  # before 0.12 JAX counts a trace that it could not write as running
        jax.profiler.stop_trace()


def test_logs_have_no_thread_that_a_run_could_wait_for(tmp_path):
    before = threading.active_count()
    with tracking.tracker(Workdir(tmp_path), step=0) as out:
        tracking.log(out, {"step": 1, "epoch": 1.0, "loss": 0.5}, steps_per_second=1.0, shares={})
        assert threading.active_count() == before
    (file,) = Workdir(tmp_path).tensorboard.iterdir()
    assert b"steps_per_second" in file.read_bytes()


@pytest.mark.slow
def test_a_run_without_room_for_its_logs_trains_to_the_same_state(toy_config, toy_dataset, finished_toy_run, caplog):
    folder = Workdir(toy_config.run.workdir)

    def fill_up(now):
        if not folder.samples.exists():
            folder.samples.touch()  # so that no folder of this name can be made
            folder.metrics.symlink_to("/dev/full")

    train_config(toy_config, toy_dataset, report=fill_up)
    jax.tree.map(np.testing.assert_array_equal, final_state(folder.root), final_state(finished_toy_run))
    told = [record.getMessage() for record in caplog.records if "cannot be written" in record.getMessage()]
    assert sum(str(folder.metrics) in words for words in told) == 1
    assert f"{folder.metrics}: the rows of steps 2 to 9 are lost" in caplog.text
    assert f"{folder.samples / 'epoch_0001.npy'}: cannot be written" in caplog.text
