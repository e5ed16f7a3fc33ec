import dataclasses
import json
import math

import numpy as np
import pytest
from studies import stacked_mnist

from jaxgan import data
from jaxgan.config import Config, Run
from jaxgan.data import Dataset
from jaxgan.data.catalog import find
from jaxgan.data.derived import stack
from jaxgan.errors import UserError
from jaxgan.evaluation import feature_network
from jaxgan.evaluation.feature_network import FeatureNetwork
from jaxgan.methods.vanilla_gan import VanillaGAN
from jaxgan.runs import tracking


def by_brightness(images):
    """Certainty of the tenth of the scale that an image's mean brightness lies in."""
    label = np.clip(images.mean(axis=(1, 2, 3)) // 25.6, 0, 9).astype(int)
    return np.zeros((len(images), 2), np.float32), np.eye(10, dtype=np.float32)[label]


NETWORK = FeatureNetwork("brightness-1", by_brightness)


@pytest.fixture
def grey(monkeypatch):
    """Digits that are plain greys, which the network knows, in place of MNIST; and a small method."""
    labels = np.arange(150, dtype=np.int32) % 10
    images = np.broadcast_to((25.6 * labels + 12).astype(np.uint8)[:, None, None, None], (150, 28, 28, 1))
    stacked = stack(find("stacked_mnist"), Dataset("mnist", images, labels, tuple("0123456789")))
    monkeypatch.setattr(feature_network, "load", lambda name, **how: NETWORK)
    monkeypatch.setattr(data, "load", lambda name, split="train", data_dir=None, image_size=None: stacked)
    monkeypatch.setattr(tracking, "draw", lambda *args, **how: [])  # takes longer than training
    recipe = Config(VanillaGAN(hidden_units=4), Run(sample_epochs=(1,)))
    monkeypatch.setattr(stacked_mnist, "RECIPES", {"dcgan": recipe, "wgan": recipe})
    return stacked


@pytest.mark.slow
def test_the_modes_of_a_run_stand_beside_real_and_published_ones(grey, tmp_path, capsys):
    (tmp_path / "out").mkdir()
    before = {"found": 99, "divergence": 3.4, "steps": 5, "minutes": 1.0, "protocol": "as ours", "measured": "earlier"}
    (tmp_path / "out" / "stacked_mnist.json").write_text(json.dumps({"dcgan": [before]}))
    flags = ["--methods", "wgan", "--seeds", "2", "--epochs", "1", "--samples", "100", "--devices", "1"]
    stacked_mnist.main([*flags, "--runs", str(tmp_path), "--out", str(tmp_path / "out")])
    runs = json.loads((tmp_path / "out" / "stacked_mnist.json").read_text())["wgan"]
    assert [run["steps"] for run in runs] == [2, 2]
    assert all(1 <= run["found"] <= 100 for run in runs)
    modes, divergences = ([run[name] for run in runs] for name in ("found", "divergence"))
    assert divergences[0] != divergences[1]
    text = (tmp_path / "out" / "stacked_mnist.md").read_text()
    assert text in capsys.readouterr().out
    assert f"| Vanilla GAN | 2 | {np.mean(modes):.0f} ± {np.std(modes, ddof=1):.2g} |" in text
    assert f" | {np.mean(divergences):.3f} ± {np.std(divergences, ddof=1):.2g} | 2 | " in text
    assert "| Vanilla GAN | 1 | 99 | 3.400 | 5 | 1.0 |" in text  # of an earlier command
    real = stacked_mnist.count_modes(grey.labels[:100, None] // [100, 10, 1] % 10)
    assert f"| real images |  | {real.found} | {real.divergence:.3f} |  |  |" in text
    assert "| PacGAN, published |  | 992 | 0.28 |  |  |" in text
    assert all(f"100 samples, seed {seed}, feature network brightness-1" in text for seed in (0, 1))


def test_modes_are_combinations_of_the_classes_of_the_channels():
    every = np.arange(1000)[:, None] // [100, 10, 1] % 10
    assert stacked_mnist.count_modes(every) == (1000, pytest.approx(0, abs=1e-12))
    half = stacked_mnist.count_modes(np.repeat(every[:500], 3, axis=0))
    assert half == (500, pytest.approx(math.log(2)))
    few = stacked_mnist.count_modes(np.array([[1, 2, 3], [3, 2, 1], [1, 2, 3], [9, 9, 9], [0, 0, 0], [1, 2, 3]]))
    assert few == (4, pytest.approx(sum(p * math.log(1000 * p) for p in (3 / 6, 1 / 6, 1 / 6, 1 / 6))))


def test_each_channel_is_labelled_by_itself(grey):
    found = stacked_mnist.classify(grey.images, NETWORK)
    np.testing.assert_array_equal(found @ [100, 10, 1], grey.labels)


def test_the_decay_of_learning_rates_ends_with_the_last_step():
    for name, recipe in stacked_mnist.RECIPES.items():
        made = stacked_mnist.config(name, stacked_mnist.Options(epochs=7))
        assert (made.run.data, made.run.epochs, made.run.batch_size) == ("stacked_mnist", 7, recipe.run.batch_size)
        steps = {"decay_steps": 7 * (60_000 // made.run.batch_size)} if name == "r3gan" else {}
        assert made.method == dataclasses.replace(recipe.method, **steps)


def test_without_the_classifier_nothing_is_trained(monkeypatch, tmp_path, refused):
    def missing(name):
        raise UserError("no classifier")

    monkeypatch.setattr(feature_network, "load", missing)
    assert "no classifier" in refused(stacked_mnist.main, "--runs", tmp_path / "runs", "--out", tmp_path / "out")
    assert not list(tmp_path.iterdir())
