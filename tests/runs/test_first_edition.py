"""Runs that the first edition of the package wrote are still read, exported, evaluated and trained further."""

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
from jaxgan.export import export
from jaxgan.interop import weights
from jaxgan.runs import launch
from jaxgan.runs.workdir import Workdir, load_config

ARCHIVES = Path(__file__).parent / "first_edition"  # made as the README there says
# What the first edition logged for epoch 2, when it went on with the same runs.
SECOND_EPOCH = json.loads((ARCHIVES / "second_epoch.json").read_text())
KINDS = list(SECOND_EPOCH)
IN_CI = ("vanilla_gan", "dcgan")


@pytest.fixture
def kind():
    return "vanilla_gan"


@pytest.fixture
def folder(kind, tmp_path):
    with tarfile.open(ARCHIVES / f"{kind}.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    return Workdir(tmp_path / "run")


def test_the_folder_speaks_the_first_edition_s_language(folder):
    tree = json.loads(folder.config.read_text())
    assert tree["method"]["kind"] == "vanilla_gan"
    assert "latent_law" in tree["method"]
    names = (folder.checkpoints / "10" / "default" / "_METADATA").read_text()
    assert "('sums', 'generator_loss')" in names
    assert "('count',)" in names


@pytest.mark.parametrize("kind", [k if k in IN_CI else pytest.param(k, marks=pytest.mark.slow) for k in KINDS])
def test_it_is_loaded_and_draws_images(kind, folder):
    run = jaxgan.load_run(folder.root)
    assert (run.config.kind, run.step, int(run.state.step)) == (kind, 10, 10)
    assert all(np.all(np.isfinite(array)) for array in weights(run.state).values())
    if run.method.sample:
        images = jax.jit(run.method.sample, static_argnums=2)(run.state, jax.random.key(0), 3)
        assert images.shape == (3, 28, 28, 1)
        assert np.ptp(images) > 0.01


def test_its_weights_are_exported(folder):
    run = jaxgan.load_run(folder.root)
    assert run.config.method.prior == "uniform"
    tensors = load_file(export(folder.root, format="torch"))
    kernel = run.state.averaged["output"]["kernel"]
    np.testing.assert_array_equal(tensors["generator.output.weight"], np.asarray(kernel).T)
    assert tensors["discriminator.hidden_0.weight"].shape == (2, 784)


@pytest.mark.slow
def test_it_is_evaluated(folder, mnist_dir):
    cli.main(["evaluate", str(folder.root), "--count", "100", "--data-dir", str(mnist_dir)])
    found = json.loads((folder.root / "evaluation.json").read_text())
    assert (found["subject"]["step"], found["subject"]["parameters"]) == (10, "averaged")


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=pytest.mark.slow if kind in IN_CI else pytest.mark.exhaustive) for kind in KINDS]
)
def test_it_goes_on_to_the_numbers_of_its_edition(kind, folder, mnist_dir):
    config, before = load_config(folder), folder.metrics.read_text()
    run = dataclasses.replace(config.run, workdir=folder.root, data_dir=mnist_dir, epochs=2, devices=1, resume="must")
    launch.run(dataclasses.replace(config, run=run))
    first, second = folder.metrics.read_text().splitlines(keepends=True)
    assert first == before
    assert json.loads(second) == pytest.approx(SECOND_EPOCH[kind], rel=1e-4)
    assert "latent_law" not in json.loads(folder.config.read_text())["method"]
