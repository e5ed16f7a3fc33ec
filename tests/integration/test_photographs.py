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


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "name"), [("vanilla_gan", "celeb_a"), ("dcgan", "cifar10"), ("dcgan", "celeb_a")])
def test_a_gan_trains_on_a_stream_of_photographs_and_is_read_back(tmp_path, photographs, monkeypatch, kind, name):
    monkeypatch.setitem(catalog.CATALOG, name, SMALL[name])
    run = Run(workdir=tmp_path / "run", data_dir=photographs)
    launch.main(Config(CONFIGS[kind], run), [*FLAGS, "--data", name, "--input", "stream"])
    folder = Workdir(tmp_path / "run")
    assert [json.loads(line)["step"] for line in folder.metrics.read_text().splitlines()] == [3]
    assert (folder.figures / "samples.png").stat().st_size > 1000
    shape = SMALL[name].image_shape
    run = load_run(folder.root)
    assert run.method.sample(run.state, stream_key(0, 0), 2).shape == (2, *shape)
