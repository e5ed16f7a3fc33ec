"""A run that the first edition of the package wrote is still read, exported, evaluated and trained further."""

import dataclasses
import json
import tarfile
from pathlib import Path

import jax
import numpy as np
import pytest
from safetensors.numpy import load_file

import jaxgan
from jaxgan import cli
from jaxgan.data import Dataset
from jaxgan.export import export
from jaxgan.runs import launch
from jaxgan.runs.workdir import Workdir, check_resume, load_config
from tests.training import train_config, with_run

ARCHIVE = Path(__file__).parent / "first_edition" / "vanilla_gan.tar.xz"  # made as the README beside it says
# What the first edition logged for epoch 2, when it went on from there.
SECOND_EPOCH = {
    "step": 20,
    "epoch": 2.0,
    "discriminator_loss": 1.0498644828796386,
    "discriminator_loss_fake": 0.4095804214477539,
    "discriminator_loss_real": 0.6402840137481689,
    "fake_probability": 0.3204662799835205,
    "generator_loss": 1.3068401336669921,
    "real_probability": 0.5271438121795654,
}


@pytest.fixture
def folder(tmp_path):
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(tmp_path, filter="data")
    return Workdir(tmp_path / "run")


def test_the_folder_speaks_the_first_edition_s_language(folder):
    tree = json.loads(folder.config.read_text())
    assert tree["method"]["kind"] == "vanilla_gan"
    assert "latent_law" in tree["method"]
    names = (folder.checkpoints / "10" / "default" / "_METADATA").read_text()
    assert "('sums', 'generator_loss')" in names
    assert "('count',)" in names


def test_it_is_loaded_and_draws_images(folder):
    run = jaxgan.load_run(folder.root)
    assert (run.config.kind, run.config.method.prior, run.step) == ("vanilla_gan", "uniform", 10)
    images = run.method.sample(run.state, jax.random.key(0), 3)
    assert images.shape == (3, 28, 28, 1)
    assert np.ptp(images) > 0.1


def test_its_weights_are_exported(folder):
    run = jaxgan.load_run(folder.root)
    tensors = load_file(export(folder.root, format="torch"))
    kernel = run.state.averaged["output"]["kernel"]
    np.testing.assert_array_equal(tensors["generator.output.weight"], np.asarray(kernel).T)
    assert tensors["discriminator.hidden_0.weight"].shape == (2, 784)


@pytest.mark.slow
def test_it_goes_on_from_its_checkpoint_and_keeps_its_rows(folder):
    started = load_config(folder)
    config = with_run(started, workdir=folder.root, epochs=11, resume="must")
    assert check_resume(config, started=started, checkpointed=True)
    before = folder.metrics.read_text()
    images = np.random.default_rng(0).integers(0, 256, (6000, 28, 28, 1), dtype=np.uint8)  # an epoch of one step
    dataset = Dataset("mnist", images, np.zeros(6000, np.int32), tuple("0123456789"))
    state = train_config(config, dataset, resume=True)
    assert int(state.step) == 11
    first, second = folder.metrics.read_text().splitlines(keepends=True)
    assert first == before
    assert json.loads(second).keys() == json.loads(first).keys()
    assert json.loads(folder.config.read_text())["method"]["prior"] == "uniform"


@pytest.mark.slow
def test_it_is_evaluated_and_goes_on_to_the_numbers_of_its_edition(folder, mnist_dir, capsys):
    cli.main(["evaluate", str(folder.root), "--count", "100", "--data-dir", str(mnist_dir)])
    found = json.loads((folder.root / "evaluation.json").read_text())
    assert (found["subject"]["step"], found["subject"]["parameters"]) == (10, "averaged")
    config = load_config(folder)
    run = dataclasses.replace(config.run, workdir=folder.root, data_dir=mnist_dir, epochs=2, devices=1)
    launch.run(dataclasses.replace(config, run=run))
    assert json.loads(folder.metrics.read_text().splitlines()[-1]) == pytest.approx(SECOND_EPOCH, rel=1e-4)
