"""Folders of runs that were never trained, with everything in them that a page shows."""

import json

import jax
import matplotlib.figure
import numpy as np
import pytest

from jaxgan import data, figures
from jaxgan.config import Config, Run
from jaxgan.data import Dataset
from jaxgan.methods import build
from jaxgan.methods.vanilla_gan import VanillaGAN
from jaxgan.runs.workdir import Workdir, begin
from tests.random_states import random_like
from tests.training import save_run

SHAPE = (28, 28, 1)  # of MNIST, which the runs name
EPOCHS = (1, 3, 9)
ROWS = [
    {"step": i, "epoch": i / 2, "generator_loss": 1 / i, "discriminator_loss": 1.5, "real_probability": 0.25 * i / 2}
    for i in (2, 4, 6, 8)
]


@pytest.fixture(scope="package")
def training_set():
    """Sixty random images in the place of the training images."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (60, *SHAPE), dtype=np.uint8)
    return Dataset("mnist", images, np.arange(60, dtype=np.int32) % 10, tuple("0123456789"))


@pytest.fixture(scope="package")
def saved(training_set):
    """Samples by epoch; those of the last are training images, from the twentieth on."""
    rng = np.random.default_rng(1)
    found = {epoch: rng.integers(0, 256, (70, *SHAPE), dtype=np.uint8) for epoch in EPOCHS}
    return found | {
        EPOCHS[-1]: np.concatenate([training_set.images[20:], rng.integers(0, 256, (30, *SHAPE), np.uint8)])
    }


def make_run(root, method, *, rows=ROWS, samples=None, checkpoint=True, **run):
    """Writes the folder of a run."""
    config = Config(method, Run(workdir=root, epochs=9, **run))
    begin(Workdir(root), config, resume=False)
    if checkpoint:
        made = build(method, image_shape=SHAPE)
        state = random_like(jax.eval_shape(made.init, jax.random.key(0)), dtype=np.float32, seed=1)
        save_run(config, made, states={8: state})
    (root / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for epoch, images in (samples or {}).items():
        (root / "samples").mkdir(exist_ok=True)
        np.save(root / "samples" / f"epoch_{epoch:04}.npy", images)
    return root


@pytest.fixture(scope="package")
def runs(tmp_path_factory, saved):
    """A folder of runs; only to be read."""
    root = tmp_path_factory.mktemp("runs")
    first = make_run(root / "first", VanillaGAN(latent_size=3, hidden_units=4), samples=saved)
    number = {"mean": 0.75, "deviation": None, "floor": 0.0625}
    protocol = {"data": "mnist", "features": "some-1", "n_real": 100, "n_fake": 100, "seeds": [0], "floor": "some"}
    tree = {
        "subject": {"samples": "x"},
        "protocol": protocol,
        "metrics": {"recall": number},
        "versions": {"jax": "0.9"},
    }
    (first / "evaluation.json").write_text(json.dumps(tree))
    parts = [{"python": "3.0.1", "devices": "8 TPU v5"}, {"python": "3.0.2", "devices": "1 TPU v5"}]
    (first / "environment.json").write_text(json.dumps(parts))
    (first / "figures").mkdir()
    figures.save(matplotlib.figure.Figure(figsize=(1, 1)), first / "figures" / "some_view.png")
    make_run(root / "second", VanillaGAN(latent_size=3, hidden_units=5), rows=ROWS[:2], seed=4, checkpoint=False)
    make_run(root / "third", VanillaGAN(latent_size=3, hidden_units=4), samples=saved, checkpoint=False)
    return root


@pytest.fixture
def own_data(monkeypatch, training_set):
    """Makes every data set the random one."""
    monkeypatch.setattr(data, "load", lambda name, split="train", data_dir=None, image_size=None: training_set)
