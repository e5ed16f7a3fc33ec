import json
import logging
import logging.handlers
import queue
import re
from typing import NamedTuple

import jax
import numpy as np
import pytest

from jaxgan import cli
from jaxgan.config import Config, Run
from jaxgan.errors import UserError
from jaxgan.methods.vanilla_gan import VanillaGAN
from jaxgan.runs import launch, task, tracking
from jaxgan.runs.load import load_run
from jaxgan.runs.workdir import Workdir
from tests.runs.pixels import split_of
from tests.runs.test_evaluate import COUNT
from tests.training import Part, assert_same, train_config, train_in_parts, with_run

pytestmark = pytest.mark.slow

# Replica 0 is the plain run, replica 1 the next seed; the others diverge in their first step.
SWEEP = ("discriminator_learning_rate=1e-3,1e38",)
EPOCHS, STEPS = 2, 6


@pytest.fixture(scope="module", autouse=True)
def pixels(pixel_features):
    """No test here trains a classifier or prepares data."""


def config_in(folder, **fields):
    run = Run(
        workdir=folder, epochs=EPOCHS, batch_size=80, checkpoint_every=1, sample_epochs=(1,), log_every=2, devices=1
    )
    return with_run(Config(VanillaGAN(latent_size=3, hidden_units=4), run), replicas=2, sweep=SWEEP, **fields)


class Trained(NamedTuple):
    folder: Workdir
    told: list[str]  # its warnings


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of four replicas."""
    config, records = config_in(tmp_path_factory.mktemp("runs") / "run"), queue.SimpleQueue()
    logger, handler = logging.getLogger("jaxgan"), logging.handlers.QueueHandler(records)
    logger.addHandler(handler)
    try:
        train_config(config, split_of("train"))
    finally:
        logger.removeHandler(handler)
    return Trained(Workdir(config.run.workdir), [records.get().getMessage() for _ in range(records.qsize())])


@pytest.fixture(scope="module")
def single(tmp_path_factory):
    """The run of replica 1 alone."""
    config = with_run(config_in(tmp_path_factory.mktemp("runs") / "single"), replicas=1, sweep=(), seed=1)
    train_config(config, split_of("train"))
    return Workdir(config.run.workdir)


def test_rows_of_a_replica_are_those_of_its_own_run(trained, single):
    rows = tracking.read_rows(trained.folder.metrics)
    expected = tracking.read_rows(single.metrics)
    for row, own in zip([row for row in rows if row["replica"] == 1], expected, strict=True):
        assert row == pytest.approx(own | {"replica": 1}, rel=1e-5)


def test_each_logged_step_has_a_row_for_each_replica(trained):
    rows = tracking.read_rows(trained.folder.metrics)
    assert [(row["step"], row["replica"]) for row in rows] == [(s, r) for s in (2, 3, 5, 6) for r in range(4)]
    assert [row["step"] for row in tracking.read_rows(trained.folder.timings)] == [2, 3, 5, 6]
    assert all(len({row["generator_loss"] for row in rows[at : at + 2]}) == 2 for at in range(0, len(rows), 4))


def test_a_replica_that_diverges_is_told_once_and_marked(trained):
    words = r"replica {} has diverged: \w+ is not finite at step 0.*; the others continue"
    assert len(trained.told) == 2
    assert all(re.fullmatch(words.format(n), told) for n, told in zip((2, 3), trained.told, strict=True))
    rows = tracking.read_rows(trained.folder.metrics)
    assert all(row.keys() == {"step", "epoch", "replica", "diverged"} for row in rows if row["replica"] > 1)
    assert {row["diverged"] for row in rows if row["replica"] > 1} == {0}
    assert {path.name for path in trained.folder.samples.iterdir()} == {"replica_0", "replica_1"}


def test_a_replica_is_loaded_as_if_it_had_trained_alone(trained, single):
    run, own = load_run(trained.folder.root, replica=1), load_run(single.root)
    assert (run.config.run.seed, run.config.run.several, run.step) == (1, False, STEPS)
    assert run.config.method == own.config.method
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), run.state, own.state)
    assert np.max(np.abs(run.sample(5).astype(int) - own.sample(5))) <= 1


@pytest.mark.parametrize(
    ("replica", "words"),
    [
        (4, "--replica: 4 is not allowed, '.*' has replicas 0 to 3"),
        (2, "--replica: 2 has diverged in .*; choose from 0, 1$"),
    ],
)
def test_a_replica_that_cannot_be_loaded_is_refused_in_words(trained, replica, words):
    with pytest.raises(UserError, match=f"^{words}"):
        load_run(trained.folder.root, replica=replica)


def test_a_single_run_has_replica_0_alone(single):
    assert load_run(single.root, replica=0).config.run.seed == 1
    with pytest.raises(UserError, match=r"^--replica: 1 is not allowed, '.*' has only replica 0$"):
        load_run(single.root, replica=1)


def test_a_field_that_decides_what_is_computed_is_not_swept(tmp_path):
    config = with_run(config_in(tmp_path / "run"), sweep=("dropout_rate=0.1,0.5",))
    with pytest.raises(
        UserError, match=r"^--sweep: 'dropout_rate' is not allowed.*; choose from .*generator_learning_rate"
    ):
        task.prepare(config)
    assert not any(tmp_path.iterdir())


def test_replicas_resume_bit_for_bit(tmp_path):
    dataset = split_of("train")
    whole = train_in_parts(config_in(tmp_path / "whole"), Part(dataset))
    parts = train_in_parts(
        config_in(tmp_path / "parts"), Part(dataset, 2), Part(dataset, 4, killed=True), Part(dataset)
    )
    assert_same(parts, whole)


def test_a_run_all_of_whose_replicas_diverge_ends(tmp_path):
    config = with_run(config_in(tmp_path / "run"), sweep=("discriminator_learning_rate=1e38",))
    with pytest.raises(launch.Diverged, match=r"^all replicas diverged, 0 first: .* is not finite at step 0"):
        train_config(config, split_of("train"))


def test_evaluation_is_over_the_replicas_that_go_on_and_of_each(trained, capsys):
    cli.main(["evaluate", str(trained.folder.root), "--count", str(COUNT)])
    shown, path = capsys.readouterr().out, trained.folder.root / "evaluation.json"
    found = json.loads(path.read_text())
    assert "Each replica" in shown
    assert [(each["replica"], each["seed"]) for each in found["replicas"]] == [(0, 0), (1, 1)]
    assert {each["discriminator_learning_rate"] for each in found["replicas"]} == {1e-3}
    of_each = []
    for number in (0, 1):
        cli.main(["evaluate", str(trained.folder.root), "--count", str(COUNT), "--replica", str(number)])
        alone = json.loads(path.read_text())
        assert alone["subject"]["replica"] == number
        assert "replicas" not in alone
        of_each.append(alone["metrics"]["frechet_distance"]["mean"])
    assert [each["metrics"]["frechet_distance"] for each in found["replicas"]] == of_each
    number = found["metrics"]["frechet_distance"]
    assert (number["mean"], number["deviation"]) == pytest.approx((np.mean(of_each), np.std(of_each, ddof=1)))


def test_samples_are_evaluated_and_figures_drawn_of_each_replica(tmp_path):
    config = with_run(config_in(tmp_path / "run"), evaluate_every=1, devices=2)
    config = with_run(config, sweep=("negative_slope=0.01,0.9",))
    launch.run(config)
    folder = Workdir(config.run.workdir)
    rows = [row for row in tracking.read_rows(folder.metrics) if "frechet_distance" in row]
    assert [(row["epoch"], row["replica"]) for row in rows] == [(e, r) for e in (1.0, 2.0) for r in range(4)]
    assert len({row["frechet_distance"] for row in rows}) == 8
    names = {path.stem for path in folder.figures.iterdir()}
    assert names == {"training", "replicas", "progress", "samples"}
    cli.main(["sample", str(folder.root), "--replica", "3", "--out", str(tmp_path / "three.npy")])
    np.testing.assert_array_equal(np.load(tmp_path / "three.npy"), load_run(folder.root, replica=3).sample(64))
    cli.main(["sample", str(folder.root), "--animate", str(tmp_path / "first.gif")])
    assert (tmp_path / "first.gif").is_file()
