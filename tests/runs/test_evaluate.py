import errno
import json
import shutil

import numpy as np
import pytest

from jaxgan import cli
from jaxgan.config import Config, Run
from jaxgan.errors import UserError
from jaxgan.evaluation import feature_network, protocol
from jaxgan.methods import build
from jaxgan.methods.classifier import Classifier
from jaxgan.methods.dcgan import DCGAN
from jaxgan.methods.vae import IMPORTANCE_SAMPLES, VAE
from jaxgan.methods.vanilla_gan import VanillaGAN
from jaxgan.runs import evaluate, sampler, tracking
from jaxgan.runs.workdir import Workdir
from tests.random_states import fresh_state
from tests.runs.pixels import extract, split_of
from tests.training import raising, snapshot, train_config

COUNT = 120
FLAGS = ["--count", str(COUNT)]


@pytest.fixture(scope="module", autouse=True)
def pixels(pixel_features):
    """No test here trains a classifier or prepares data."""


def train(folder, method, **fields):
    run = Run(workdir=folder, epochs=2, batch_size=80, checkpoint_every=1, sample_epochs=(), evaluate_every=1, **fields)
    config, images, held_out = Config(method, run), split_of("train"), split_of("test")
    during = evaluate.during_training(config, build(method, image_shape=(28, 28, 1)), images, held_out, count=COUNT)
    train_config(config, images, evaluate_samples=during)
    return config


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run that was evaluated after each of its two epochs, and whose first was the best by coverage."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    method = VanillaGAN(latent_size=3, hidden_units=8, ema_decay=0.5, generator_learning_rate=0.1)
    train(folder, method, keep_best="coverage")
    return folder


@pytest.fixture
def folder(trained, tmp_path):
    return shutil.copytree(trained, tmp_path / "run")


def command(*argv):
    cli.main(["evaluate", *map(str, argv)])


def test_a_folder_that_takes_no_files_is_refused_before_the_work(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("tempfile.TemporaryFile", raising(errno.EROFS))
    monkeypatch.setattr(evaluate, "evaluate_run", lambda *args, **how: pytest.fail("it is measured"))
    with pytest.raises(SystemExit, match="2"):
        command(tmp_path)
    assert "--out: " in (error := capsys.readouterr().err)
    assert "evaluation.json' cannot be written (Read-only file system)" in error


def written(path):
    return json.loads(path.read_text())


@pytest.mark.parametrize("conditional", [False, True])
def test_a_sample_depends_on_the_seed_and_its_place_alone(conditional):
    norms = {"generator_norm": "none", "discriminator_norm": "none"}  # the fewest operations to compile
    config = DCGAN(latent_size=3, width=1, conditional=True, **norms) if conditional else VanillaGAN(hidden_units=8)
    method = build(config, image_shape=(28, 28, 1))
    state, sample = fresh_state(method), sampler.make_sampler(method)
    few, many = sample(state, 0, 130), sample(state, 0, sampler.SAMPLE_BATCH + 130)
    assert few.dtype == np.uint8
    assert (len(few), len(many)) == (130, sampler.SAMPLE_BATCH + 130)
    np.testing.assert_array_equal(few, many[:130])
    assert len(np.unique(many.reshape(len(many), -1), axis=0)) == len(many)
    assert not np.any(np.all(sample(state, 1, 130) == few, axis=(1, 2, 3)))
    if conditional:
        labels = np.arange(len(many)) % 10
        np.testing.assert_array_equal(sample(state, 0, len(many), labels), many)
        sevens = sample(state, 0, len(many), np.where(labels == 3, 7, labels))
        np.testing.assert_array_equal(np.any(sevens != many, axis=(1, 2, 3)), labels == 3)


@pytest.mark.slow
def test_training_measures_what_the_command_does_of_the_same_checkpoint(folder, capsys):
    rows = tracking.read_rows(Workdir(folder).metrics)
    assert [row["epoch"] for row in rows if "frechet_distance" in row] == [1, 2]
    command(folder, *FLAGS)
    found = written(folder / "evaluation.json")["metrics"]
    names = [name for name in evaluate.IN_ROWS if name in rows[-1]]
    assert set(evaluate.IN_ROWS) - set(names) == {"requested_class_accuracy", "class_frechet_distance"}  # none asked
    for name in names:
        assert rows[-1][name] == pytest.approx(found[name]["mean"], rel=1e-5, abs=1e-12), name
    assert rows[-1]["floor_frechet_distance"] == pytest.approx(found["frechet_distance"]["floor"], rel=1e-5)
    assert rows[0]["frechet_distance"] != rows[1]["frechet_distance"]


def test_the_best_checkpoint_can_be_evaluated_beside_the_newest(folder, capsys):
    rows = tracking.read_rows(Workdir(folder).metrics)
    best = max(rows, key=lambda row: row["coverage"])
    command(folder, *FLAGS, "--best")
    found = written(folder / "best_evaluation.json")
    assert found["subject"]["step"] == best["step"]
    assert found["metrics"]["coverage"]["mean"] == pytest.approx(best["coverage"])
    assert not (folder / "evaluation.json").exists()


def test_every_number_stands_with_all_that_it_depends_on(folder, capsys):
    command(folder, *FLAGS, "--seeds", 2, "--seed", 5)
    found = written(folder / "evaluation.json")
    assert found["protocol"] == {
        "data": "mnist",
        "features": "pixels-1",
        "n_real": 200,
        "n_fake": COUNT,
        "seeds": [5, 6],
        "floor": "120 training images, chosen by seed 0, instead of samples",
        "importance_samples": None,
        "floor_labels": False,
    }
    assert found["subject"] == {
        "workdir": str(folder),
        "method": "Vanilla GAN",
        "step": 6,
        "epoch": 2.0,
        "checkpoint": "newest",
        "parameters": "averaged",
    }
    for name, number in found["metrics"].items():
        assert number.keys() == {"mean", "deviation", "floor"}, name
        assert None not in number.values(), name
    printed = " ".join(capsys.readouterr().out.split())
    for words in ("120 samples", "seeds 5, 6: mean ± deviation", "200 test images of mnist", "pixels-1", "Floor: 120"):
        assert words in printed, words


@pytest.mark.slow
def test_several_seeds_give_the_mean_of_what_each_gives(folder, tmp_path, capsys):
    found = []
    for flags in (["--seeds", 2], ["--seed", 0], ["--seed", 1]):
        command(folder, *FLAGS, *flags, "--out", tmp_path / "found.json")
        found.append(written(tmp_path / "found.json")["metrics"]["frechet_distance"])
    both, first, second = found
    assert first["mean"] != second["mean"]
    assert both["mean"] == pytest.approx((first["mean"] + second["mean"]) / 2)
    assert both["deviation"] == pytest.approx(abs(first["mean"] - second["mean"]) / np.sqrt(2))
    assert first["deviation"] is None
    assert both["floor"] == first["floor"] == second["floor"]


def test_what_a_full_disk_cannot_take_is_shown(folder, capsys, monkeypatch):
    monkeypatch.setattr("os.replace", raising(errno.ENOSPC))
    with pytest.raises(SystemExit, match="1"):
        command(folder, *FLAGS)
    output = capsys.readouterr()
    assert "coverage" in output.out
    assert "evaluation.json' cannot be written (No space left on device)" in output.err
    assert output.err.count("\n") == 1


@pytest.mark.slow
def test_another_judge_is_named_and_leaves_the_evaluation_of_the_run_alone(folder, tmp_path, capsys, monkeypatch):
    def load_judge(path, name, image_size=None, classes=None):
        return feature_network.FeatureNetwork(f"{path.stem} of {name}", lambda images: extract(255 - images))

    monkeypatch.setattr(feature_network, "load_judge", load_judge)
    command(folder, *FLAGS)
    before = snapshot(folder)
    judge, out = ["--judge", tmp_path / "other.safetensors"], tmp_path / "found.json"
    command(folder, *FLAGS, *judge)
    assert snapshot(folder) == before
    command(folder, *FLAGS, *judge, "--out", out)
    assert written(out)["protocol"]["features"] == "other of mnist"
    assert "other of mnist" in " ".join(capsys.readouterr().out.split())
    np.save(tmp_path / "real.npy", split_of("train").images)
    command("--samples", tmp_path / "real.npy", *judge, "--out", out)
    assert written(out)["protocol"]["features"] == "other of mnist"


def test_averaged_parameters_are_evaluated_unless_the_last_are_asked_for(folder, tmp_path, capsys):
    found = []
    for flags in ([], ["--last"]):
        command(folder, *FLAGS, *flags, "--out", tmp_path / "found.json")
        found.append(written(tmp_path / "found.json"))
    assert [each["subject"]["parameters"] for each in found] == ["averaged", "last"]
    assert found[0]["metrics"]["frechet_distance"] != found[1]["metrics"]["frechet_distance"]


def test_real_images_in_a_file_reach_the_floor_and_change_nothing(tmp_path, capsys):
    chosen = protocol.floor_choice(240, count=COUNT)
    np.savez(tmp_path / "real.npz", images=split_of("train").images[chosen] / 255)
    before = snapshot(tmp_path)
    found = evaluate.evaluate_file(tmp_path / "real.npz", data_name="mnist")
    assert found.protocol.n_fake == COUNT
    for name, number in found.metrics.items():
        if name == "nearest_training_distance":
            assert number.mean == 0 < number.floor
        else:
            assert number.mean == pytest.approx(number.floor), name
    command("--samples", tmp_path / "real.npz")
    assert str(tmp_path / "real.npz") in capsys.readouterr().out.replace("\n", "")
    assert snapshot(tmp_path) == before


@pytest.mark.slow
def test_importance_weighting_tightens_the_bound_on_a_vae_s_test_images(tmp_path, capsys):
    train(tmp_path / "run", VAE(latent_size=2, hidden_units=8))
    command(tmp_path / "run", *FLAGS)
    found = written(tmp_path / "run" / "evaluation.json")
    value = {name: number["mean"] for name, number in found["metrics"].items()}
    assert value["test_negative_elbo"] == pytest.approx(value["test_reconstruction"] + value["test_kl_divergence"])
    assert 0 < value["test_importance_weighted_nll"] < value["test_negative_elbo"]
    assert value["test_importance_weighted_nll"] == pytest.approx(value["test_negative_elbo"], rel=0.05)
    assert found["protocol"]["importance_samples"] == IMPORTANCE_SAMPLES
    assert found["metrics"]["test_negative_elbo"]["floor"] is None


def test_what_draws_no_images_is_refused(tmp_path):
    config = Config(Classifier(width=2), Run(workdir=tmp_path, evaluate_every=1))
    method = build(config.method, image_shape=(28, 28, 1))
    with pytest.raises(UserError, match="a run of digit_classifier draws no images"):
        evaluate.during_training(config, method, split_of("train"), split_of("test"))


@pytest.mark.parametrize("seeds", [(), -1, (0, 2**32), (0.5,), "0"])
def test_seeds_that_draw_nothing_are_refused_before_any_work(tmp_path, seeds):
    with pytest.raises(UserError, match=r"^seeds=: .* is not allowed, give one or more, each at least 0 and below"):
        evaluate.evaluate_run(tmp_path, seeds=seeds)


def test_a_mistake_is_one_line_and_changes_nothing(folder, tmp_path, refused):
    np.save(tmp_path / "few.npy", split_of("test").images[:7])
    np.save(tmp_path / "real.npy", split_of("test").images)
    for argv, words in (
        ([], "give either WORKDIR, the folder of a run, or --samples FILE"),
        ([folder, "--samples", tmp_path / "real.npy"], "give either WORKDIR"),
        ([folder, "--count", 10_000], "10,000 images are not allowed, it must be at least 100 and at most 240"),
        ([folder, "--count", 99], "--count: 99 images are not allowed"),
        ([folder, *FLAGS, "--seeds", 0], "--seeds: 0 from --seed 0 is not allowed"),
        ([folder, *FLAGS, "--data", "kmnist"], "--data: 'kmnist' is only for --samples"),
        ([folder, *FLAGS, "--out", tmp_path], "is a folder, name a file in it"),
        ([folder, *FLAGS, "--out", tmp_path / "absent" / "a.json"], "absent' is not a folder"),
        ([tmp_path / "absent"], "no such folder"),
        (["--samples", tmp_path / "few.npy"], "few.npy': 7 images are not allowed, it must be at least 100"),
        (["--samples", tmp_path / "real.npy", "--count", 201], "--count: 201 images are not allowed"),
        (["--samples", tmp_path / "real.npy", "--seeds", 2], "a file holds one set of samples"),
        (["--samples", tmp_path / "real.npy", "--data", "minst"], "did you mean 'mnist'?"),
    ):
        assert words in refused(cli.main, "evaluate", *argv, root=tmp_path)
    shutil.rmtree(folder / "best")
    line = refused(cli.main, "evaluate", folder, *FLAGS, "--best", root=tmp_path)
    assert "kept no best checkpoint, train it with --keep-best" in line
