"""The comparison of what recipes and their twins in PyTorch draw, with fabricated runs and numbers."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from jaxgan import config as configs
from jaxgan import data
from jaxgan.data import Dataset
from jaxgan.evaluation import classifier, protocol
from jaxgan.evaluation.classifier import FeatureNetwork

torch = pytest.importorskip("torch")
sys.path.insert(0, str(Path(__file__).parents[2] / "experiments"))

import quality_of_twins as study  # noqa: E402  only with PyTorch

TWIN_IS_AT = {"jaxgan": 2.0, "pytorch": 2.5}


@pytest.fixture
def made(monkeypatch):
    """Programs that draw grey images, the seed's; the distance of those is a number of the program and the seed."""
    calls = []

    def drawing(program):
        def draw(method, seed, options):
            folder = study.place(method, program, seed, options)
            folder.mkdir(parents=True)
            calls.append((program, seed))
            return np.full((4, 28, 28, 1), 100 * list(study.PROGRAMS).index(program) + seed, np.uint8)

        return draw

    def measure(images, against, *, seed):
        program, number = divmod(int(images.flat[0]), 100)
        return {"frechet_distance": list(TWIN_IS_AT.values())[program] + 0.1 * number}

    monkeypatch.setattr(study, "from_recipe", drawing("jaxgan"))
    monkeypatch.setattr(study, "from_twin", drawing("pytorch"))
    monkeypatch.setattr(protocol, "measure", measure)
    monkeypatch.setattr(protocol, "reference", lambda network, test: None)
    monkeypatch.setattr(protocol, "floor", lambda images, against, *, count: {"frechet_distance": 0.04})
    monkeypatch.setattr(classifier, "load", lambda name: FeatureNetwork("test-1", None))
    empty = Dataset("mnist", np.zeros((1, 28, 28, 1), np.uint8), np.zeros(1, np.int32), tuple("0123456789"))
    monkeypatch.setattr(data, "load", lambda name, **how: empty)
    return calls


def run(tmp_path, *flags):
    study.main([*flags, "--runs", str(tmp_path / "runs"), "--out", str(tmp_path / "out")])
    return [line for line in (tmp_path / "out" / "twins.md").read_text().splitlines() if line.startswith("| ")][2:]


def test_each_program_is_trained_from_each_seed_once_and_a_method_left_out_keeps_its_rows(made, tmp_path):
    rows = run(tmp_path, "--methods", "vanilla_gan", "--seeds", "3")
    assert made == [(program, seed) for seed in range(3) for program in study.PROGRAMS]
    assert rows == [
        "| Vanilla GAN | recipe | 20 | 2.10 ± 0.1 | 2.00, 2.10, 2.20 |",
        "| Vanilla GAN | PyTorch twin | 20 | 2.60 ± 0.1 | 2.50, 2.60, 2.70 |",
        "| Vanilla GAN | difference |  | -0.5 ± 0.082 |  |",
    ]
    both = run(tmp_path, "--methods", "dcgan", "--dcgan-epochs", "4", "--seeds", "1")
    assert len(made) == 8
    assert both[:3] == rows
    assert both[3:] == [
        "| DCGAN | recipe | 4 | 2.00 | 2.00 |",
        "| DCGAN | PyTorch twin | 4 | 2.50 | 2.50 |",
        "| DCGAN | difference |  | -0.5 |  |",
    ]
    assert run(tmp_path, "--methods", "vanilla_gan", "--seeds", "3") == both
    assert len(made) == 8
    assert json.loads((tmp_path / "out" / "twins.json").read_text())["floor"] == 0.04


def test_samples_are_measured_anew_by_another_network_and_not_drawn_anew(made, tmp_path, monkeypatch):
    flags = ["--methods", "dcgan", "--seeds", "1"]
    run(tmp_path, *flags)
    monkeypatch.setattr(classifier, "load", lambda name: FeatureNetwork("test-2", None))
    monkeypatch.setattr(protocol, "measure", lambda images, against, *, seed: {"frechet_distance": 7.0})
    assert run(tmp_path, *flags)[0] == "| DCGAN | recipe | 3 | 7.00 | 7.00 |"
    assert len(made) == 2


def test_a_twin_is_trained_as_its_recipe_is_and_its_samples_become_bytes(monkeypatch, tmp_path):
    seen = []
    ramp = torch.linspace(-1, 1, 256)[:, None, None, None].expand(256, 1, 28, 28)

    def train(make, how):
        seen.append((make, how))
        return SimpleNamespace(twin=SimpleNamespace(sample=lambda count: ramp))

    monkeypatch.setattr(study.training, "run", train)
    options = study.Options(runs=tmp_path, dcgan_epochs=4)
    images = study.from_twin("dcgan", 2, options)
    make, how = seen[0]
    wanted = study.config("dcgan", 2, options)
    configs.validate(wanted)
    assert make is study.TWINS[configs.DCGAN]
    assert (how.epochs, how.seed, how.batch_size) == (4, 2, 64)
    assert (wanted.run.epochs, wanted.run.seed, wanted.run.batch_size) == (4, 2, 64)
    assert (how.workdir, wanted.run.workdir) == (tmp_path / "dcgan_4" / "pytorch_2", tmp_path / "dcgan_4" / "jaxgan_2")
    assert images.shape[1:] == (28, 28, 1)
    np.testing.assert_array_equal(images[:256, 0, 0, 0], np.arange(256))


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--methods", "wgan"], "--methods: 'wgan' is not known"),
        (["--dcgan-epochs", "0"], "--dcgan-epochs: 0 is not allowed"),
        (["--seeds", "0"], "--seeds: 0 is not allowed"),
    ],
)
def test_a_mistake_costs_one_line_and_nothing_on_disk(flags, words, tmp_path, capsys):
    with pytest.raises(SystemExit) as caught:
        run(tmp_path, *flags)
    assert caught.value.code == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
