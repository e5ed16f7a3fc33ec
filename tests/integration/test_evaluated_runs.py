import shutil

import jax
import numpy as np
import pytest

from jaxgan.runs.workdir import Workdir
from tests.conftest import toy
from tests.training import Part, assert_same, restored_arrays, train_config, train_in_parts, with_run

VALUES = {3: 5.0, 6: 2.0, 9: 4.0, 12: 1.0, 15: 3.0}  # of the metric, by step: epochs 2 and 4 are the best so far

pytestmark = pytest.mark.slow


def evaluate_samples(state, replica=None):
    """A metric that goes up and down, with the state itself in its last digits."""
    own = sum(float(np.abs(x).sum()) for x in jax.tree.leaves(jax.device_get(state.generator.params)))
    return {"frechet_distance": VALUES[int(state.step)] + 1e-6 * own, "precision": -VALUES[int(state.step)]}


def run(config, dataset, *, stops=(), **fields):
    """Trains in parts; returns every byte that must not differ, and the best step."""
    config = with_run(config, **fields)
    parts = [*(Part(dataset, step) for step in stops), Part(dataset)]
    found = train_in_parts(config, *parts, evaluate_samples=evaluate_samples)
    return found, best_of(config.run.workdir)


def best_of(folder):
    return sorted(int(p.name) for p in Workdir(folder).best.glob("[0-9]*"))


def with_evaluation(config):
    return with_run(config, evaluate_every=1, keep_best="frechet_distance", epochs=5, log_every=None)


@pytest.fixture
def evaluated(toy_config):
    return with_evaluation(toy_config)


@pytest.fixture(scope="module")
def whole(toy_dataset, tmp_path_factory):
    """The folder of an evaluated run that nothing stopped, and what must not differ from it."""
    folder = tmp_path_factory.mktemp("unbroken") / "run"
    return folder, run(with_evaluation(toy(folder)), toy_dataset)


@pytest.mark.parametrize("stops", [[6], [12], [5, 10], [7, 13]])
def test_an_interrupted_run_ends_with_the_same_rows_and_best(evaluated, toy_dataset, whole, stops):
    found, best = run(evaluated, toy_dataset, stops=stops)
    assert_same(found, whole[1][0])
    assert best == whole[1][1] == [12]


def test_the_best_checkpoint_is_the_whole_carry_of_its_step(whole):
    folder = Workdir(whole[0])
    kept, best = (restored_arrays(directory, step=12) for directory in (folder.checkpoints, folder.best))
    jax.tree.map(np.testing.assert_array_equal, best, kept)


def test_a_best_checkpoint_of_a_later_step_changes_nothing(evaluated, toy_dataset, whole):
    config = with_run(evaluated, checkpoint_every=3, epochs=4)
    run(config, toy_dataset)
    folder = Workdir(config.run.workdir)
    shutil.rmtree(folder.checkpoints / "12")  # as if it had crashed before it came to it
    assert best_of(folder.root) == [12]
    more = with_run(config, epochs=5, checkpoint_every=1)
    train_config(more, toy_dataset, resume=True, evaluate_samples=evaluate_samples)
    assert best_of(folder.root) == [12]
    assert folder.metrics.read_bytes() == Workdir(whole[0]).metrics.read_bytes()
