import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from studies import ablation, figures, quality, training

from jaxgan import data
from jaxgan.config import Config, Run, changed_fields
from jaxgan.data import Dataset
from jaxgan.evaluation import feature_network
from jaxgan.evaluation.feature_network import FeatureNetwork
from jaxgan.methods.vanilla_gan import VanillaGAN
from jaxgan.runs import tracking
from jaxgan.runs.evaluate import evaluate_run
from jaxgan.runs.workdir import Workdir
from tests.training import with_run

SAMPLES = 120


def extract(images):
    """Features and classes of no meaning, but of the images alone."""
    features = images.reshape(len(images), -1)[:, :392:49] / np.float32(255)
    return features, np.eye(10, dtype=np.float32)[images[:, 0, 0, 0] % 10]


def recipe(name, **method):
    run = Run(workdir=Path("runs", name), batch_size=40, epochs=2, sample_epochs=(1,), devices=1)
    return Config(VanillaGAN(latent_size=3, hidden_units=4, **method), run)


RECIPES = {"vanilla_gan": recipe("vanilla_gan"), "dcgan": recipe("dcgan"), "vae": recipe("vae", ema_decay=0.5)}


def shrink(patch):
    """Puts small data, networks and recipes in place of the real ones."""
    rng = np.random.default_rng(0)
    labels, names = np.arange(SAMPLES, dtype=np.int32) % 10, tuple("0123456789")
    digits = {
        split: Dataset("mnist", rng.integers(0, 256, (SAMPLES, 28, 28, 1), dtype=np.uint8), labels, names)
        for split in ("train", "test")
    }
    patch.setattr(data, "load", lambda name, split="train", data_dir=None, image_size=None: digits[split])
    patch.setattr(feature_network, "load", lambda name, **how: FeatureNetwork("test-1", extract))
    patch.setattr(tracking, "draw", lambda *args, **how: [])  # takes longer than training
    patch.setattr(quality, "RECIPES", RECIPES)


@pytest.fixture
def small(monkeypatch):
    """The same in one test."""
    shrink(monkeypatch)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder of a study that trained a recipe and later took another's finished run, without the first one's."""
    root = tmp_path_factory.mktemp("quality")
    with pytest.MonkeyPatch.context() as patch:
        shrink(patch)
        quality.main(flags(root, "--methods", "vanilla_gan"))
        shutil.copytree(root / "runs" / "vanilla_gan", root / "runs" / "dcgan")
        shutil.move(root / "runs" / "vanilla_gan", root / "gone")
        quality.main(flags(root, "--methods", "dcgan"))
    return root


@pytest.fixture
def studied(finished, small):
    """That folder, and the small recipes."""
    return finished


def flags(root, *more):
    return ["--seeds", "1", "--samples", str(SAMPLES), "--runs", str(root / "runs"), "--out", str(root / "out"), *more]


def table(path):
    lines = path.read_text().splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| ")]


@pytest.mark.exhaustive
def test_the_report_has_each_finished_run_above_real_images(studied):
    rows = table(studied / "out" / "report.md")
    main = rows[2:5]
    cost = ["Vanilla GAN", "1", "2"]
    assert [row[:3] for row in main] == [cost, cost, ["floor: training images", "", ""]]
    assert main[0][4] == f"{3 * 4 + 4 + 4 * 784 + 784:,}"
    assert main[0][-2] == "1.00"
    assert main[1][-2:] == ["", ""]  # the DCGAN is not compared with itself
    assert len(rows) == 2 * 5
    assert (studied / "out" / "quality.png").stat().st_size > 10_000
    assert (studied / "out" / "samples.png").stat().st_size > 10_000
    tree = json.loads((studied / "out" / "results.json").read_text())
    assert list(tree["results"]) == ["vanilla_gan", "dcgan"]
    for each in tree["results"].values():
        assert len(each["curve"]) == 2
        assert each["curve"][-1] == [each["seconds"], each["metrics"]["frechet_distance"]["mean"]]


@pytest.mark.exhaustive
def test_what_is_finished_is_not_trained_again_and_rows_stay(studied):
    metrics = studied / "runs" / "dcgan" / "metrics.jsonl"
    before, rows = metrics.stat().st_mtime_ns, table(studied / "out" / "report.md")[:5]
    quality.main(flags(studied, "--methods", "dcgan"))
    assert metrics.stat().st_mtime_ns == before
    assert table(studied / "out" / "report.md")[:5] == rows


@pytest.mark.exhaustive
def test_rows_of_another_number_of_samples_are_dropped(studied, tmp_path):
    shutil.copytree(studied / "out", tmp_path / "out")
    text = (tmp_path / "out" / "results.json").read_text()
    (tmp_path / "out" / "results.json").write_text(text.replace(f'"samples": {SAMPLES}', '"samples": 7'))
    shutil.copytree(studied / "runs", tmp_path / "runs")
    quality.main(flags(tmp_path, "--methods", "dcgan"))
    assert [row[0] for row in table(tmp_path / "out" / "report.md")[2:4]] == ["Vanilla GAN", "floor: training images"]


@pytest.mark.exhaustive
def test_a_run_is_finished_only_with_the_same_numbers_at_the_last_epoch(studied, tmp_path):
    (made,) = quality.configs("dcgan", quality.Options(runs=studied / "runs", seeds=1))
    assert training.is_finished(made)
    longer = training.with_epochs(made, 3)
    other = dataclasses.replace(made, method=dataclasses.replace(made.method, hidden_units=5))
    absent = training.with_epochs(made, 2, workdir=tmp_path / "none")
    assert not any(map(training.is_finished, (longer, other, absent)))


def test_a_run_that_diverges_has_a_row_that_says_so(small, tmp_path, monkeypatch):
    def run(config):
        raise training.Diverged("a loss is not finite at step 7")

    monkeypatch.setattr(training, "run", run)
    quality.main(flags(tmp_path, "--methods", "vae"))
    rows = table(tmp_path / "out" / "report.md")
    assert rows[2][:6] == ["Vanilla GAN", "", "", "", "", "diverged, a loss is not finite at step 7"]


@pytest.mark.exhaustive
def test_several_training_seeds_are_a_mean_and_its_deviation(small, tmp_path):
    found = []
    for how in ([], ["--apart"]):
        quality.main([*flags(tmp_path, "--methods", "vanilla_gan"), "--seeds", "2", *how])
        found.append(json.loads((tmp_path / "out" / "results.json").read_text())["results"]["vanilla_gan"])
        assert " ± " in table(tmp_path / "out" / "report.md")[2][5]
    assert {path.name for path in (tmp_path / "runs").iterdir()} == {"vanilla_gan", "vanilla_gan_0", "vanilla_gan_1"}
    distances = [evaluate_run(tmp_path / "runs" / f"vanilla_gan_{seed}", count=SAMPLES) for seed in (0, 1)]
    distances = [each.metrics["frechet_distance"].mean for each in distances]
    for each in found:
        assert each["seeds"] == 2
        assert each["metrics"]["frechet_distance"]["mean"] == pytest.approx(np.mean(distances), rel=1e-3)
        deviation = each["metrics"]["frechet_distance"]["deviation"]
        assert deviation == pytest.approx(np.std(distances, ddof=1), rel=0.1)
    together, apart = (np.array(each["curve"])[:, 1] for each in found)
    np.testing.assert_allclose(together, apart, rtol=1e-3)


def test_runs_are_compared_at_their_ends_and_after_equal_seconds():
    dcgan, other = [(10.0, 9.0), (100.0, 4.0), (300.0, 2.0)], [(50.0, 1.0), (150.0, 0.5), (600.0, 0.1)]
    assert quality.relative(other, dcgan, floor=0.0) == ("20.0", "4.00 (300 s)")
    assert quality.relative([(150.0, 0.6)], dcgan, floor=0.1)[1] == "7.80 (150 s)"
    assert quality.relative([(5.0, 3.0)], dcgan, floor=0.0)[1] == "not measured (5 s)"
    assert quality.relative([(5.0, 0.1)], dcgan, floor=0.1)[0] == "at the floor"


def test_recipes_are_trained_as_they_are_and_evaluated_on_the_way(tmp_path):
    for name, module in quality.RECIPES.items():
        (made,) = quality.configs(name, quality.Options(runs=tmp_path, data="fashion_mnist"))
        assert (made.run.data, made.run.replicas) == ("fashion_mnist", 5 if name in quality.SEEDS else 3)
        assert (made.method, made.run.epochs) == (module.method, module.run.epochs)
        assert made.run.workdir == tmp_path / name
        assert 1 <= made.run.epochs // made.run.evaluate_every <= 9


def test_samples_of_a_run_stand_below_real_images(finished_toy_run, small, monkeypatch):
    (made,) = quality.configs("vanilla_gan", quality.Options(seeds=1))
    made = with_run(made, workdir=finished_toy_run)
    absent = with_run(made, workdir=finished_toy_run / "absent")
    monkeypatch.setattr(quality, "configs", lambda name, options: [made if options.apart else absent])
    rows = quality.sample_rows(["vanilla_gan"], quality.Options())
    assert list(rows) == ["real images", "Vanilla GAN"]
    assert np.array_equal(rows["real images"], data.load("mnist", split="test").images[: quality.COLUMNS])
    drawn = tracking.read_samples(Workdir(finished_toy_run))
    assert np.array_equal(rows["Vanilla GAN"], drawn[max(drawn)][: quality.COLUMNS])


def test_the_report_of_another_data_set_says_where_settings_are_from(small):
    ours, other = (quality.report({}, data_set=name) for name in ("mnist", "fashion_mnist"))
    assert ours.startswith("# Quality of samples\n")
    assert other.startswith("# Quality of samples: Fashion-MNIST articles of clothing\n")
    assert [("twins.md" in text, "chosen on MNIST" in text) for text in (ours, other)] == [(True, False), (False, True)]


def test_each_row_of_the_ablation_changes_what_it_says_and_no_more(tmp_path):
    options = ablation.Options(runs=tmp_path)
    full = ablation.config("full", options)
    of_two_epochs = {"decay_steps": 2 * (50_000 // 32), **training.SHORT}
    assert full.method == dataclasses.replace(ablation.r3gan.CONFIG.method, **of_two_epochs)
    assert full.run.data == "mnist_held_out"  # test images are for the final table
    for name, row in ablation.ROWS.items():
        made = ablation.config(name, options)
        changed = {text.split()[0] for text in changed_fields(full, made)}
        named = {f"--{field.replace('_', '-')}" for field in {**row.method, **row.run}}
        assert changed == (named | {"--decay-steps"} if name == "batch_64" else named)
    assert ablation.config("batch_64", options).method.decay_steps == 2 * (50_000 // 64)


def test_the_table_of_the_ablation_has_a_row_for_each_change():
    numbers = {name: {"mean": 0.5, "floor": 0.9} for name in training.METRICS}
    result = training.Result(2.0, 61.4, 10, numbers, [], "today")
    found = {"full": result, "no_r2": result, "constant": "diverged, at step 7"}
    text = ablation.report(found, epochs=2)
    assert [line for line in text.splitlines() if line.startswith("| ")][2:] == [
        "| the recipe |  | 0.500 | 0.500 | 0.500 | 0.500 | 61 |",
        "| without R2 | `--r2-weight 0.0` | 0.500 | 0.500 | 0.500 | 0.500 | 61 |",
        "| constant learning rates | `--decay-steps 0` | diverged, at step 7 |  |  |  |  |",
        "| floor: training images |  | 0.900 | 0.900 | 0.900 | 0.900 |  |",
    ]
    assert "for 2 epochs" in text


def test_the_figure_has_a_line_for_each_method_and_one_for_the_floor():
    curves = {"DCGAN": [(10.0, 9.0), (100.0, 4.0)], "R3GAN": [(50.0, 0.2)]}
    axes = figures.quality(curves, floor=0.04, title="Quality").axes[0]
    lines = {line.get_label(): line for line in axes.lines}
    for name, points in curves.items():
        np.testing.assert_array_equal(np.stack(lines[name].get_data(), axis=1), points)
    assert any(set(line.get_ydata()) == {0.04} for line in axes.lines)
    assert axes.get_yscale() == axes.get_xscale() == "log"


def test_no_two_lines_of_the_figure_look_alike():
    curves = {f"method {number}": [(1.0, 2.0), (2.0, 1.0)] for number in range(9)}
    lines = [
        line for line in figures.quality(curves, floor=0.1, title="Quality").axes[0].lines if line.get_label() in curves
    ]
    assert len({(line.get_color(), line.get_linestyle()) for line in lines}) == 9
