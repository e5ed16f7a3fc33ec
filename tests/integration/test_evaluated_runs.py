"""Runs whose samples are evaluated on the way: the same rows and the same best checkpoint, wherever they stopped."""

import dataclasses
import shutil

import jax
import numpy as np
import pytest

from jaxgan import config as configs
from jaxgan.errors import UserError
from jaxgan.runtime import best, checkpoints, processes, tracking
from jaxgan.runtime.loop import train
from jaxgan.runtime.workdir import Workdir

from .test_resume import Interrupted, assert_same, content, stop_at

VALUES = {3: 5.0, 6: 2.0, 9: 4.0, 12: 1.0, 15: 3.0}  # of the metric, by step: epochs 2 and 4 are the best so far


def assess(state):
    """A metric that goes up and down, with the state itself in its last digits."""
    own = sum(float(np.abs(x).sum()) for x in jax.tree.leaves(jax.device_get(state.generator.params)))
    return {"frechet_distance": VALUES[int(state.step)] + 1e-6 * own, "precision": -VALUES[int(state.step)]}


def with_run(config, **fields):
    return dataclasses.replace(config, run=dataclasses.replace(config.run, **fields))


def run(config, dataset, *, stops=(), **fields):
    """Trains in pieces; returns every byte that must not differ, and the best step."""
    config, status, resume = with_run(config, **fields), {"step": 0}, False
    for step in (*stops, None):
        try:
            train(
                config,
                dataset,
                jax.devices()[:1],
                resume=resume,
                assess=assess,
                stop=stop_at(step, status) if step else lambda: None,
                report=lambda now: status.update(step=now.step),
                seconds_a_call=0.0,
            )
        except Interrupted:
            resume = True
    folder = config.run.workdir
    return content(folder), best_of(folder)


def best_of(folder):
    return sorted(int(p.name) for p in Workdir(folder).best.glob("[0-9]*"))


@pytest.fixture
def evaluated(toy_config):
    return with_run(toy_config, evaluate_every=1, keep_best="frechet_distance", epochs=5, log_every=None)


def test_only_the_chosen_epochs_are_evaluated(toy_config, toy_dataset, tmp_path):
    run(toy_config, toy_dataset, evaluate_every=2, epochs=5, workdir=tmp_path / "run")
    rows = tracking.read_rows(Workdir(tmp_path / "run").metrics)
    assert [row["step"] for row in rows if "precision" in row] == [6, 12]
    assert not Workdir(tmp_path / "run").best.exists()


@pytest.mark.parametrize(("metric", "step"), [("frechet_distance", 12), ("precision", 12), ("recall", None)])
def test_the_best_checkpoint_is_that_of_the_row_that_is_best(evaluated, toy_dataset, metric, step):
    assert run(evaluated, toy_dataset, keep_best=metric)[1] == [step] * (step is not None)


def test_the_best_checkpoint_is_the_whole_carry_of_its_step(evaluated, toy_dataset, tmp_path):
    run(evaluated, toy_dataset, workdir=tmp_path / "whole")
    run(evaluated, toy_dataset, workdir=tmp_path / "until then", epochs=4)
    found = []
    for folder in (Workdir(tmp_path / "whole").best, Workdir(tmp_path / "until then").checkpoints):
        with checkpoints.checkpoint_manager(folder) as manager:
            found.append(jax.tree.map(np.asarray, manager.restore(12)))
    jax.tree.map(np.testing.assert_array_equal, *found)


@pytest.mark.parametrize("stops", [[7, 13], *(pytest.param(s, marks=pytest.mark.slow) for s in ([6], [12], [5, 10]))])
def test_an_interrupted_run_ends_with_the_same_rows_and_the_same_best(evaluated, toy_dataset, tmp_path, stops):
    unbroken = run(evaluated, toy_dataset, workdir=tmp_path / "unbroken")
    found = run(evaluated, toy_dataset, workdir=tmp_path / "stopped", stops=stops)
    assert_same(found[0], unbroken[0])
    assert found[1] == unbroken[1] == [12]


@pytest.mark.slow
def test_a_crash_that_left_a_best_checkpoint_of_a_later_step_changes_nothing(evaluated, toy_dataset, tmp_path):
    run(evaluated, toy_dataset, workdir=tmp_path / "unbroken")
    crashed = with_run(evaluated, workdir=tmp_path / "crashed", checkpoint_every=3, epochs=4)
    run(crashed, toy_dataset)
    shutil.rmtree(Workdir(crashed.run.workdir).checkpoints / "12")  # as if it had not come to it
    assert best_of(crashed.run.workdir) == [12]
    train(with_run(crashed, epochs=5, checkpoint_every=1), toy_dataset, jax.devices()[:1], resume=True, assess=assess)
    assert best_of(crashed.run.workdir) == [12]
    assert Workdir(crashed.run.workdir).metrics.read_bytes() == Workdir(tmp_path / "unbroken").metrics.read_bytes()


def test_process_0_alone_decides_what_is_best(evaluated, tmp_path, monkeypatch):
    saved = []
    monkeypatch.setattr(checkpoints, "save", lambda manager, carry, *, step: saved.append(step))
    monkeypatch.setattr(processes, "agree", lambda number: 1)  # what process 0 said
    with best.keeper(Workdir(tmp_path), evaluated.run) as offer:
        offer({}, None, 3)  # this one has not measured anything
    assert saved == [3]


def test_seconds_of_evaluation_are_no_seconds_of_training(toy_config, tmp_path, monkeypatch):
    clock = iter([100.0, 107.0, 109.0])
    monkeypatch.setattr(tracking.time, "perf_counter", lambda: next(clock))
    folder = Workdir(tmp_path)
    folder.timings.write_text('{"step": 1, "epoch": 0.5, "seconds": 20.0}\n')
    with tracking.tracker(folder, step=1) as out:
        assert out.clock() == 27
        out.set_aside(1.5)
        assert out.clock() == 27.5


def test_a_metric_to_keep_by_needs_evaluations(toy_config):
    with pytest.raises(UserError, match="--keep-best: 'recall' needs --evaluate-every"):
        configs.validate(with_run(toy_config, keep_best="recall"))
    with pytest.raises(UserError, match="did you mean 'recall'"):
        configs.validate(with_run(toy_config, keep_best="recal", evaluate_every=1))
