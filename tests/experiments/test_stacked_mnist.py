"""The study of Stacked MNIST in small: what it trains on, what it counts, and what its table says beside what."""

import dataclasses
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from jaxgan import config as configs
from jaxgan import data
from jaxgan.data import Dataset, stacking
from jaxgan.data.catalog import find
from jaxgan.errors import UserError
from jaxgan.evaluation import classifier
from jaxgan.evaluation.classifier import FeatureNetwork

sys.path.insert(0, str(Path(__file__).parents[2] / "experiments"))

import stacked_mnist


def by_brightness(images):
    """Features of no use, and certainty of the tenth of the scale that an image's mean brightness lies in."""
    label = np.clip(images.mean(axis=(1, 2, 3)) // 25.6, 0, 9).astype(int)
    return np.zeros((len(images), 2), np.float32), np.eye(10, dtype=np.float32)[label]


NETWORK = FeatureNetwork("brightness-1", by_brightness)


@pytest.fixture
def grey(monkeypatch):
    """Digits that are plain greys, which the network knows, in the place of MNIST; and a small method."""
    labels = np.arange(150, dtype=np.int32) % 10
    images = np.broadcast_to((25.6 * labels + 12).astype(np.uint8)[:, None, None, None], (150, 28, 28, 1))
    parts = stacking.in_parts(find("stacked_mnist"), Dataset("mnist", images, labels, tuple("0123456789")))
    monkeypatch.setattr(classifier, "load", lambda name: NETWORK)
    monkeypatch.setattr(
        data,
        "load",
        lambda name, split="train", data_dir=None: parts if split == "train" else stacking.put_together(parts),
    )
    recipe = configs.Config(method=configs.VanillaGAN(hidden_units=4))  # compiles fast
    monkeypatch.setattr(stacked_mnist, "RECIPES", {"wgan": recipe})


@pytest.mark.slow
def test_a_method_is_trained_and_its_modes_stand_in_a_table_beside_real_and_published_ones(grey, tmp_path, capsys):
    flags = ["--method", "wgan", "--epochs", "1", "--samples", "300", "--devices", "1", "--out", str(tmp_path)]
    stacked_mnist.main(flags)
    found = json.loads((tmp_path / "wgan" / "modes.json").read_text())
    assert (found["steps"], found["samples"], found["features"]) == (2, 300, "brightness-1")
    text = (tmp_path / "table.md").read_text()
    assert text in capsys.readouterr().out
    assert f"| Vanilla GAN | {found['modes_found']:.0f} | {found['modes_divergence']:.3f} | 2 |" in text
    assert "| PacGAN, published | 992 | 0.28 | | |" in text
    assert "300 samples, classifier brightness-1, seed 0" in text
    real = json.loads((tmp_path / "table.json").read_text())["real"]
    assert real["modes_found"] > 150
    assert f"| real digits | {real['modes_found']:.0f} |" in text


def test_the_floor_is_counted_in_as_many_stacks_of_three_unlike_digits(grey):
    few, many = (stacked_mnist.floor(NETWORK, stacked_mnist.Options(samples=count)) for count in (30, 6000))
    assert 25 <= few["modes_found"] <= 30
    assert many["modes_found"] > 950
    assert many["modes_divergence"] < 0.15


def test_each_method_is_that_of_its_recipe_and_a_falling_step_size_ends_with_the_last_step():
    for name, recipe in stacked_mnist.RECIPES.items():
        made = stacked_mnist.config(stacked_mnist.Options(method=name, epochs=7))
        configs.validate(made)
        assert (made.run.data, made.run.epochs, made.run.batch_size) == ("stacked_mnist", 7, recipe.run.batch_size)
        steps = {"decay_steps": 7 * (60_000 // made.run.batch_size)} if name == "r3gan" else {}
        assert made.method == dataclasses.replace(recipe.method, **steps)


@pytest.mark.parametrize(
    ("flags", "words"),
    [(["--samples", "0"], "--samples: 0 is not allowed"), (["--epochs", "0"], "--epochs: 0 is not allowed")],
)
def test_a_mistake_costs_one_line_and_nothing_on_disk(flags, words, grey, tmp_path, capsys):
    with pytest.raises(SystemExit) as caught:
        stacked_mnist.main(["--method", "wgan", *flags, "--out", str(tmp_path / "out")])
    assert caught.value.code == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_without_the_classifier_nothing_is_trained(monkeypatch, tmp_path):
    def missing(name):
        raise UserError("no classifier")

    monkeypatch.setattr(classifier, "load", missing)
    with pytest.raises(SystemExit):
        stacked_mnist.main(["--out", str(tmp_path / "out")])
    assert not (tmp_path / "out").exists()
