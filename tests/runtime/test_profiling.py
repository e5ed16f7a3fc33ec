import dataclasses
import gzip
import json

import jax
import pytest

from jaxgan.config import Config
from jaxgan.runtime import loop, profiling
from jaxgan.runtime.workdir import Workdir


def calls_in(folder):
    """The calls in the only trace in a folder, as pairs of steps, and what else was traced."""
    (path,) = folder.rglob("*.trace.json.gz")
    events = json.loads(gzip.decompress(path.read_bytes()))["traceEvents"]
    calls = [event["args"] for event in events if event.get("name") == "train"]
    return [(int(call["step_num"]), int(call["stop"])) for call in calls], {event.get("name") for event in events}


def test_a_trace_holds_exactly_the_steps_asked_for_is_named_and_changes_no_number(toy_config, toy_dataset):
    folders = []
    for profile in (None, "4:7"):  # row ends: 2, 3, 5, 6, 8, 9
        run = dataclasses.replace(toy_config.run, profile=profile, workdir=toy_config.run.workdir / str(profile))
        loop.train(Config(toy_config.method, run), toy_dataset, jax.devices()[:1], resume=False)
        folders.append(Workdir(run.workdir))
    plain, profiled = folders
    assert profiled.metrics.read_bytes() == plain.metrics.read_bytes()
    calls, names = calls_in(profiled.profile)
    assert calls == [(4, 5), (5, 6), (6, 7)]
    assert "ThunkExecutor::Execute" in names
    named = [path for path in profiled.files() if profiled.profile in path.parents]
    assert {"".join(path.suffixes[-2:]) for path in named} == {".xplane.pb", ".json.gz"}
    assert not plain.profile.exists()


def test_what_was_traced_before_a_failure_is_kept(tmp_path):
    def fail():
        with profiling.recorder(tmp_path, range(2, 9), step=0) as recorded:
            for start in range(0, 9, 2):
                with recorded(start, start + 2):
                    _ = 1 / (start - 4)

    with pytest.raises(ZeroDivisionError):
        fail()
    assert calls_in(tmp_path)[0] == [(2, 4), (4, 6)]


def test_a_run_beyond_the_steps_to_trace_says_so_and_traces_nothing(tmp_path, caplog):
    with profiling.recorder(tmp_path, range(2, 4), step=4) as recorded, recorded(4, 6):
        pass
    assert "nothing is traced, the run stands at step 4 already" in caplog.text
    assert not list(tmp_path.iterdir())
