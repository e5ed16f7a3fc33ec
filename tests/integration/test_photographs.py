"""GANs train on photographs, in color, that TFDS prepared and that are read while they train."""

import json

import pytest

from jaxgan.config import Config, Run
from jaxgan.data import catalog
from jaxgan.methods.dcgan import DCGAN
from jaxgan.methods.vanilla_gan import VanillaGAN
from jaxgan.runs import launch
from jaxgan.runs.load import load_run
from jaxgan.runs.workdir import Workdir
from jaxgan.runtime.program import stream_key
from tests.photographs import SMALL

FLAGS = ["--batch-size", "20", "--epochs", "1", "--sample-epochs", "1", "--devices", "1"]
CONFIGS = {"dcgan": DCGAN(width=2, latent_size=3), "vanilla_gan": VanillaGAN(hidden_units=4, latent_size=3)}


@pytest.fixture
def start(tmp_path, photographs, monkeypatch, capsys):
    for name, spec in SMALL.items():
        monkeypatch.setitem(catalog.CATALOG, name, spec)
    run = Run(workdir=tmp_path / "run", data_dir=photographs)

    def start(*flags, kind="vanilla_gan"):
        try:
            launch.main(Config(CONFIGS[kind], run), [*FLAGS, *flags])
        except SystemExit as stopped:
            return stopped.code, capsys.readouterr().err
        return 0, ""

    return start


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        pytest.param("vanilla_gan", "celeb_a", marks=pytest.mark.slow),
        pytest.param("dcgan", "cifar10", marks=pytest.mark.slow),
        pytest.param("dcgan", "celeb_a", marks=pytest.mark.slow),
    ],
)
def test_a_gan_trains_on_a_stream_of_photographs_and_is_read_back(start, tmp_path, kind, name):
    assert start("--data", name, "--input", "stream", kind=kind) == (0, "")
    folder = Workdir(tmp_path / "run")
    assert [json.loads(line)["step"] for line in folder.metrics.read_text().splitlines()] == [3]
    assert (folder.figures / "samples.png").stat().st_size > 1000
    shape = SMALL[name].image_shape
    run = load_run(folder.root)
    assert run.method.sample(run.state, stream_key(0, 0), 2).shape == (2, *shape)


def test_what_cannot_be_held_in_memory_is_one_line_that_names_the_flag(start, tmp_path):
    code, error = start("--data", "celeb_a")
    assert code == 2
    assert "--data: 'celeb_a' is not to be held in memory; train on it with --input stream" in error
    assert error.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_photographs_that_are_not_prepared_are_one_line_that_says_how(start, tmp_path):
    code, error = start("--data", "celeb_a", "--input", "stream", "--data-dir", str(tmp_path / "nowhere"))
    assert code == 2
    assert "tfds build celeb_a --file_format=array_record" in error
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_size_is_asked_for_of_a_stream_only(start, tmp_path):
    code, error = start("--data", "cifar10", "--image-size", "16")
    assert code == 2
    assert "--image-size: 16 is not allowed with images in memory, add --input stream" in error
    assert not (tmp_path / "run").exists()
