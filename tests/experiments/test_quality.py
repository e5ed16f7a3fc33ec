"""The studies of quality in small: what is trained and what is reused, what is compared with what, and what is said."""

import dataclasses
import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest

from jaxgan import config as configs
from jaxgan import figures
from jaxgan.evaluation import classifier
from jaxgan.evaluation.classifier import FeatureNetwork
from jaxgan.runtime.workdir import Workdir

sys.path.insert(0, str(Path(__file__).parents[2] / "experiments"))

import ablation
import quality
from assessing import runs, standing

FLOOR = 0.04


def an_evaluation(distance, *, step=9, seeds=(0,), count=10_000):
    """What ``jaxgan evaluate`` writes, with all metrics at their floor but one."""
    number = {"mean": 0.9, "deviation": None, "floor": 0.9}
    metrics = dict.fromkeys(quality.METRICS, number)
    return {
        "subject": {"step": step, "epoch": 3.0, "checkpoint": "newest", "parameters": "averaged"},
        "protocol": {"data": "mnist", "features": "test-1", "n_fake": count, "seeds": list(seeds)},
        "metrics": metrics | {"frechet_distance": {"mean": distance, "deviation": None, "floor": FLOOR}},
    }


def write_rows(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture(autouse=True)
def no_features(monkeypatch):
    monkeypatch.setattr(classifier, "load", lambda name: FeatureNetwork("test-1", None))


@pytest.fixture
def finished(toy_config):
    """A folder that looks like that of the toy run after its last epoch; nothing was trained in it."""
    folder = Workdir(toy_config.run.workdir)
    (folder.checkpoints / "9").mkdir(parents=True)
    folder.config.write_text(configs.to_json(toy_config))
    write_rows(folder.metrics, [{"step": 3 * epoch, "epoch": float(epoch)} for epoch in (1, 2, 3)])
    return folder


@pytest.fixture
def evaluated(monkeypatch):
    """Counts the evaluations that are made; each finds another distance."""
    made = []

    class Found:
        def __init__(self, count, seeds):
            self.tree = an_evaluation(len(made), count=count, seeds=seeds)

        def to_json(self):
            return json.dumps(self.tree)

    def assess(folder, *, count, seeds, data_dir):
        made.append(folder)
        return Found(count, tuple(seeds))

    monkeypatch.setattr(runs, "assess_run", assess)
    return made


def test_an_evaluation_is_made_once_and_again_only_for_another_state_or_protocol(finished, evaluated):
    for _ in range(2):
        runs.evaluate(finished.root, seeds=range(1))
    assert len(evaluated) == 1
    runs.evaluate(finished.root, seeds=range(2))
    runs.evaluate(finished.root, seeds=range(2), count=500)
    assert len(evaluated) == 3
    os.utime(finished.checkpoints / "9", (2e9, 2e9))  # trained anew
    found = runs.evaluate(finished.root, seeds=range(2), count=500)
    assert len(evaluated) == 4
    assert found["metrics"]["frechet_distance"]["mean"] == 4
    assert json.loads((finished.root / "evaluation.json").read_text()) == found


def test_a_run_is_finished_only_with_the_same_numbers_to_the_last_epoch(finished, toy_config, tmp_path):
    assert runs.is_finished(toy_config)
    longer = dataclasses.replace(toy_config, run=dataclasses.replace(toy_config.run, epochs=4))
    other = dataclasses.replace(toy_config, method=dataclasses.replace(toy_config.method, ema_decay=0.5))
    absent = dataclasses.replace(toy_config, run=dataclasses.replace(toy_config.run, workdir=tmp_path / "none"))
    assert not any(map(runs.is_finished, (longer, other, absent)))
    runs.check_folder(longer)
    runs.check_folder(absent)
    with pytest.raises(
        runs.UserError, match=r"--runs: .*--ema-decay \(0\.9 in the run, 0\.5 asked for\); give another"
    ):
        runs.check_folder(other)
    shorter = dataclasses.replace(toy_config, run=dataclasses.replace(toy_config.run, epochs=2))
    with pytest.raises(runs.UserError, match=r"--runs: .* stands at epoch 3, 2 were asked for"):
        runs.check_folder(shorter)


def test_a_curve_has_the_evaluations_of_the_same_network_over_seconds_and_the_end_of_the_run(finished):
    rows = [
        {"step": 3, "epoch": 1.0, "frechet_distance": 5.0, "floor_frechet_distance": FLOOR},
        {"step": 5, "epoch": 2.0, "frechet_distance": 7.0, "floor_frechet_distance": 2 * FLOOR},  # of other features
        {"step": 6, "epoch": 2.0},
        {"step": 9, "epoch": 3.0, "frechet_distance": 2.1, "floor_frechet_distance": FLOOR},
    ]
    write_rows(finished.metrics, rows)
    write_rows(finished.timings, [{"step": row["step"], "seconds": 10.0 * row["step"]} for row in rows])
    found = standing.standing(finished.root, an_evaluation(2.0), measured="2026-01-01")
    assert standing.from_tree(json.loads(json.dumps(standing.as_tree(found)))) == found
    assert found.curve == [(30.0, 5.0), (90.0, 2.0)]
    assert (found.seconds, found.epochs, found.seed, found.title) == (90.0, 3.0, 0, "Vanilla GAN")
    assert found.parameters == 3 * 8 + 8 + 8 * 784 + 784


def test_methods_are_compared_after_as_many_seconds_by_their_latest_measurement():
    dcgan, other = [(10.0, 9.0), (100.0, 4.0), (300.0, 2.0)], [(50.0, 1.0), (150.0, 0.5), (600.0, 0.1)]
    found = standing.closer(other, dcgan, floor=0.0)
    assert (found.at_the_end, found.seconds, found.own, found.theirs) == (pytest.approx(20), 300.0, 0.5, 2.0)
    assert found.at_equal_seconds == pytest.approx(4)
    assert standing.closer([(150.0, 0.6)], dcgan, floor=0.1).at_equal_seconds == pytest.approx(3.9 / 0.5)
    late = standing.closer(other, dcgan[2:], floor=0.0)
    assert late.theirs == 2.0
    early = standing.closer([(5.0, 3.0)], dcgan, floor=0.0)
    assert (early.theirs, early.at_equal_seconds) == (None, None)
    assert standing.times(0.04, 2.0, floor=0.04) is None


@pytest.mark.parametrize("name", quality.RECIPES)
def test_recipes_are_trained_as_they_are_and_evaluated_on_the_way(name, tmp_path):
    for epochs in (None, 1):
        made = quality.config(name, quality.Options(runs=tmp_path, epochs=epochs))
        configs.validate(made)
        recipe = quality.RECIPES[name]
        steps = made.run.epochs * (60_000 // made.run.batch_size)
        changes = {"decay_steps": steps} if name == "r3gan" else {}
        assert made.method == dataclasses.replace(recipe.method, **changes)
        assert made.run.workdir == tmp_path / name
        assert made.run.epochs == (epochs or recipe.run.epochs)
        assert 1 <= made.run.epochs // made.run.evaluate_every <= 9
        assert made.run.epochs in made.run.sample_epochs
    assert quality.config(name, quality.Options(runs=tmp_path)).method == recipe.method


@pytest.fixture
def assessed(monkeypatch, tmp_path, toy_config):
    """The report on three recipes of which two are finished, from fabricated evaluations; no picture is drawn."""
    distances, trained = {"vae": 6.0, "dcgan": 2.04, "r3gan": 0.14}, []
    for name in distances:
        folder = Workdir(tmp_path / "runs" / name)
        folder.root.mkdir(parents=True)
        recipe = quality.RECIPES[name]
        folder.config.write_text(configs.to_json(recipe))
        write_rows(folder.timings, [{"step": 9, "seconds": 600.0, "epoch": 3.0}])
        write_rows(folder.metrics, [{"step": 9, "epoch": 3.0}])
    monkeypatch.setattr(quality.chapter, "finished", lambda config: config.run.workdir.name != "vae")
    monkeypatch.setattr(quality.launch, "run", lambda config: trained.append(config.run.workdir.name))
    monkeypatch.setattr(runs, "evaluate", lambda folder, **how: an_evaluation(distances[folder.name]))
    monkeypatch.setattr(figures, "save", lambda figure, path: path.write_bytes(b""))
    flags = ["--methods", *reversed(distances), "--runs", str(tmp_path / "runs"), "--out", str(tmp_path / "out")]
    quality.main(flags)
    return trained, tmp_path / "out"


def test_what_is_not_finished_is_trained_and_all_stand_in_one_table_above_the_floor(assessed):
    trained, out = assessed
    assert trained == ["vae"]
    text = (out / "report.md").read_text()
    lines = text.splitlines()
    table = [line for line in lines if line.startswith("| ")]
    assert [line.split(" | ")[0] for line in table[2:6]] == [
        "| Variational autoencoder",
        "| DCGAN",
        "| R3GAN",
        "| floor: training images",
    ]
    assert table[3].startswith("| DCGAN | 3 | 600 | 312,256 | 2.04 | ")
    assert table[5].startswith("| floor: training images |  |  |  | 0.0400 | ")
    assert "| R3GAN | 20.0x | 600 | 0.140 | 2.04 | 20.0x |" in lines
    for words in ("trained once (seed 0)", "different feature networks do not compare", "drawn once", "test-1"):
        assert words in text
    tree = json.loads((out / "results.json").read_text())
    assert tree["methods"]["r3gan"]["curve"] == [[600.0, 0.14]]
    assert tree["closer_to_the_floor_than_dcgan"]["r3gan"]["at_equal_seconds"] == pytest.approx(20)
    assert "dcgan" not in tree["closer_to_the_floor_than_dcgan"]


def test_a_method_that_is_not_asked_for_keeps_its_row_if_it_was_measured_alike(assessed, monkeypatch):
    _, out = assessed
    before = json.loads((out / "results.json").read_text())["methods"]
    monkeypatch.setattr(runs, "evaluate", lambda folder, **how: an_evaluation(0.1))
    asked = ["--methods", "r3gan", "--runs", str(out.parent / "runs"), "--out", str(out)]
    quality.main(asked)
    after = json.loads((out / "results.json").read_text())["methods"]
    assert list(after) == ["vae", "dcgan", "r3gan"]
    assert (after["vae"], after["dcgan"]) == (before["vae"], before["dcgan"])
    assert after["r3gan"]["metrics"]["frechet_distance"]["mean"] == 0.1
    quality.main([*asked, "--seeds", "2"])
    assert list(json.loads((out / "results.json").read_text())["methods"]) == ["r3gan"]


def test_a_figure_has_a_line_for_each_method_and_one_for_the_floor():
    curves = {"DCGAN": [(10.0, 9.0), (100.0, 4.0)], "R3GAN": [(50.0, 0.2)]}
    axes = figures.quality(curves, floor=0.04, title="Quality").axes[0]
    lines = {line.get_label(): line for line in axes.lines}
    for name, points in curves.items():
        np.testing.assert_array_equal(np.stack(lines[name].get_data(), axis=1), points)
    assert any(set(line.get_ydata()) == {0.04} for line in axes.lines)
    assert axes.get_yscale() == axes.get_xscale() == "log"


def test_every_row_of_the_ablation_is_the_recipe_but_for_its_line(tmp_path):
    options = ablation.Options(runs=tmp_path, epochs=2)
    full = ablation.config("full", options)
    assert full.method == dataclasses.replace(ablation.r3gan.CONFIG.method, decay_steps=2 * 1875)
    for name, row in ablation.ROWS.items():
        made = ablation.config(name, options)
        configs.validate(made)
        assert made.run.workdir == tmp_path / name
        changed = {text.split()[0] for text in configs.changed_fields(full, made)}
        named = {f"--{field.replace('_', '-')}" for field in {**row.method, **row.run}}
        assert changed == (named | {"--decay-steps"} if name == "batch_64" else named)
    assert ablation.config("batch_64", options).method.decay_steps == 2 * (60_000 // 64)
    assert ablation.line(ablation.ROWS["no_r2"]) == "`--r2-weight 0.0`"


def test_the_ablation_trains_what_is_asked_for_and_shows_what_was_finished_before(monkeypatch, tmp_path):
    trained, done = [], {"no_r2", "width_16"}

    def train(config):
        trained.append(config.run.workdir.name)
        if config.run.workdir.name == "constant":
            raise ablation.Diverged("at step 7")

    monkeypatch.setattr(runs, "is_finished", lambda config: config.run.workdir.name in done)
    monkeypatch.setattr(runs, "train", train)
    monkeypatch.setattr(
        runs,
        "evaluate",
        lambda folder, **how: an_evaluation({"full": 0.14, "no_r2": 0.5, "width_16": 0.7}[folder.name]),
    )
    monkeypatch.setattr(runs, "training_seconds", lambda folder: 61.4)
    ablation.main(["--rows", "full", "no_r2", "constant", "--runs", str(tmp_path / "runs"), "--out", str(tmp_path)])
    assert trained == ["no_r2", "width_16", "full", "constant"]
    lines = (tmp_path / "ablation.md").read_text().splitlines()
    rows = [line for line in lines if line.startswith("| ")][2:]
    assert rows == [
        "| the recipe |  | 0.140 | 0.900 | 0.900 | 0.900 | 61 |",
        "| without R2 | `--r2-weight 0.0` | 0.500 | 0.900 | 0.900 | 0.900 | 61 |",
        "| constant step sizes | `--decay-steps 0` | diverged, at step 7 |  |  |  |  |",
        "| half the width | `--width 16` | 0.700 | 0.900 | 0.900 | 0.900 | 61 |",
        "| floor: training images in the place of samples |  | 0.0400 | 0.900 | 0.900 | 0.900 |  |",
    ]
    assert any("trained for 2 epochs from one seed" in line for line in lines)


@pytest.mark.parametrize(
    ("study", "flags", "words"),
    [
        (quality, ["--methods", "dcgam"], "--methods: 'dcgam' is not known"),
        (quality, ["--seeds", "0"], "--seeds: 0 is not allowed"),
        (quality, ["--epochs", "0"], "--epochs: 0 is not allowed"),
        (ablation, ["--rows", "ful"], "did you mean 'full'?"),
        (ablation, ["--epochs", "0"], "--epochs: 0 is not allowed"),
        (ablation, ["--seeds", "0"], "--seeds: 0 is not allowed"),
    ],
)
def test_a_mistake_costs_one_line_and_nothing_on_disk(study, flags, words, tmp_path, capsys):
    with pytest.raises(SystemExit) as caught:
        study.main([*flags, "--runs", str(tmp_path / "runs"), "--out", str(tmp_path / "out")])
    assert caught.value.code == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
