import dataclasses
import re
import shutil
import sys
from pathlib import Path

import autoencoder
import celeba
import chapter
import cifar10
import dcgan
import digit_classifier
import flow_matching
import numpy as np
import pytest
import r3gan
import transposed_convolution
import two_dimensions
import vae
import vanilla_gan
import wgan

from jaxgan import cli, data, recipes
from jaxgan.config import Run, to_json
from jaxgan.evaluation import feature_network
from jaxgan.methods import METHODS
from jaxgan.runs import launch
from jaxgan.runs.workdir import Workdir

RECIPES = {
    module.__name__: module
    for module in (autoencoder, vae, vanilla_gan, dcgan, wgan, r3gan, flow_matching, cifar10, celeba, digit_classifier)
}
SMALL = {
    "autoencoder": {"latent_size": 2, "hidden_units": 6},
    "vae": {"latent_size": 2, "hidden_units": 6},
    "vanilla_gan": {"hidden_units": 6},
    "dcgan": {"width": 2},
    "wgan": {"width": 2},
    "r3gan": {"width": 2, "decay_steps": 6},
    "flow_matching": {"width": 2, "sample_steps": 1, "decay_steps": 6, "warmup_steps": 2},
    "cifar10": {"width": 2, "max_width": 2, "blocks": 1, "decay_steps": 6},
    "celeba": {"width": 2, "max_width": 2, "blocks": 1, "decay_steps": 6},
    "digit_classifier": {"width": 2, "decay_steps": 6},
}
SAMPLED = {"progress", "samples"}
FIGURES = {
    "autoencoder": {"reconstructions", "decoded_noise", "latent_plane", *SAMPLED},
    "vae": {"reconstructions", "interpolation", "manifold", "latent_plane", *SAMPLED},
    "r3gan": {"classes", *SAMPLED},
    "flow_matching": {"path", *SAMPLED},
    "digit_classifier": {"hardest"},
}


@pytest.fixture
def small(toy_dataset, monkeypatch, tmp_path):
    """Makes the recipes small, and their data the toy data."""
    monkeypatch.setattr(data, "load", lambda name, split="train", data_dir=None, image_size=None: toy_dataset)
    for name, module in RECIPES.items():
        method = dataclasses.replace(module.CONFIG.method, **SMALL[name])
        run = {"workdir": tmp_path / name, "epochs": 2, "batch_size": 20, "sample_epochs": (1,), "devices": 1}
        run = dataclasses.replace(module.CONFIG.run, **run, input="memory")
        monkeypatch.setattr(module, "CONFIG", dataclasses.replace(module.CONFIG, method=method, run=run))


def test_scripts_and_names_are_of_the_same_recipes():
    assert {name: module.CONFIG for name, module in RECIPES.items()} == {
        name: recipe.config for name, recipe in recipes.RECIPES.items()
    }


def outcome(capsys, program, *arguments):
    """The exit code, the output and the errors of a command."""
    with pytest.raises(SystemExit) as stopped:
        program(*arguments)
    return stopped.value.code, *capsys.readouterr()


@pytest.mark.parametrize("flags", [["--help"], ["--epochs", "0"], ["--epoch", "3"], ["--loss", "hinges"]], ids=str)
def test_a_recipe_by_name_answers_as_its_script_does(flags, capsys):
    code, shown, told = outcome(capsys, cli.main, ["train", "dcgan", *flags])
    script = outcome(capsys, launch.main, dcgan.CONFIG, flags)
    assert (code, shown.replace("jaxgan train dcgan", "dcgan"), told.replace("jaxgan train dcgan", "dcgan")) == script
    assert f"{shown}{told}".count("jaxgan train dcgan") == 1


def test_an_error_names_the_script_that_was_started(capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["experiments/r3gan.py", "--epochs", "0"])
    assert outcome(capsys, launch.main, r3gan.CONFIG)[2].startswith("r3gan.py: error: --epochs: 0 is not allowed")


def test_recipes_are_listed_and_an_unknown_one_is_told_the_nearest(capsys):
    cli.main(["train"])
    assert set(RECIPES) <= set(capsys.readouterr().out.split())
    assert outcome(capsys, cli.main, ["train", "vanilla-gan", "--epochs", "0"])[2].startswith(
        "jaxgan train vanilla-gan:"
    )
    code, shown, told = outcome(capsys, cli.main, ["train", "dcgn", "--epochs", "1"])
    assert (code, shown) == (2, "")
    assert told.startswith("jaxgan: error: RECIPE: 'dcgn' is not known")
    assert told.endswith("did you mean 'dcgan'?\n")


def test_there_is_a_recipe_for_every_method_in_a_folder_of_its_name():
    assert {module.CONFIG.kind for module in RECIPES.values()} == set(METHODS)
    for name, module in RECIPES.items():
        assert module.CONFIG.run.workdir == Path("runs", name)


@pytest.mark.parametrize(
    "module", [*RECIPES.values(), chapter, transposed_convolution, two_dimensions], ids=lambda m: m.__name__
)
def test_a_docstring_says_how_to_run_and_what_to_read(module):
    lines = re.split(r"^(\w+): +", module.__doc__, flags=re.MULTILINE)
    fields = dict(zip(lines[1::2], lines[2::2], strict=True))
    assert {"Run", "Time", "Expect", "Read", "Writes"} <= fields.keys()
    assert fields["Run"].startswith(f"python experiments/{module.__name__}.py")
    files = re.findall(r"jaxgan/[\w/]+\.py", fields["Read"])
    assert files
    assert all((Path(module.__file__).parents[1] / file).exists() for file in files)


TRAINED = [name for name in RECIPES if name != "celeba"]  # it trains the networks of cifar10


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", TRAINED)
def test_a_recipe_trains_and_draws_its_figures(name, small, capsys):
    launch.main(RECIPES[name].CONFIG, [])
    folder = Workdir(RECIPES[name].CONFIG.run.workdir)
    assert {p.stem for p in folder.figures.iterdir()} == {"training"} | FIGURES.get(name, SAMPLED)
    assert "Wrote" in capsys.readouterr().out


def test_a_recipe_has_every_flag_of_the_run(capsys):
    with pytest.raises(SystemExit):
        launch.main(dcgan.CONFIG, ["--help"])
    words = capsys.readouterr().out
    for flag in [f.name.replace("_", "-") for f in dataclasses.fields(Run)]:
        assert f"--{flag}" in words


@pytest.mark.exhaustive
def test_the_page_takes_finished_runs_and_trains_the_others(small, tmp_path, capsys):
    launch.main(dcgan.CONFIG, [])
    before = Workdir(dcgan.CONFIG.run.workdir).metrics.read_bytes()
    chapter.main(["--runs", str(tmp_path)])
    assert Workdir(dcgan.CONFIG.run.workdir).metrics.read_bytes() == before
    assert (tmp_path / "chapter" / "chapter.png").stat().st_size > 10_000
    heading, rows = chapter.section(dcgan.CONFIG)
    assert heading.startswith("DCGAN")
    assert [label.split("\n")[0] for label in rows] == ["epoch 1", "epoch 2"]


@pytest.mark.exhaustive
def test_the_page_takes_a_longer_run_with_other_fields_as_it_is(small, finished_toy_run, tmp_path):
    shutil.copytree(finished_toy_run, tmp_path / "vanilla_gan")
    (wanted,) = [c for c in chapter.configs(chapter.Options(runs=tmp_path)) if c.kind == "vanilla_gan"]
    assert chapter.finished(wanted)
    assert [label.split("\n")[0] for label in chapter.section(wanted)[1]] == ["epoch 1", "epoch 2", "epoch 3"]


def test_a_folder_of_another_method_stops_the_page_before_any_run(small, tmp_path, refused):
    (tmp_path / "wgan").mkdir()
    Workdir(tmp_path / "wgan").config.write_text(to_json(vanilla_gan.CONFIG))
    assert "holds a run of vanilla_gan, not of wgan" in refused(chapter.main, "--runs", tmp_path)
    assert not (tmp_path / "autoencoder").exists()


@pytest.mark.exhaustive
def test_the_recipe_of_the_classifier_writes_weights_that_load(small, undrawn, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    recipe = recipes.RECIPES["digit_classifier"]._replace(config=digit_classifier.CONFIG)
    monkeypatch.setitem(recipes.RECIPES, "digit_classifier", recipe)
    flags, weights = ["--epochs", "1", "--data", "kmnist"], recipe.config.run.workdir / "classifier.safetensors"
    cli.main(["train", "digit_classifier", *flags])
    weights.unlink()
    digit_classifier.main(flags)
    assert weights.exists()
    assert capsys.readouterr().out.count(f"{feature_network.cached('kmnist')}\n") == 2
    _, probabilities = feature_network.load("kmnist").extract(np.zeros((2, 6, 5, 1), np.uint8))
    assert probabilities.shape == (2, 10)
