"""A run of a conditional model: how many classes there are is known from the data."""

import dataclasses

import pytest

from jaxgan import data
from jaxgan.config import DCGAN
from jaxgan.errors import UserError
from jaxgan.runtime import launch, loop
from jaxgan.runtime.workdir import Workdir

METHOD = DCGAN(width=1, latent_size=2, conditional=True, generator_norm="none", discriminator_norm="none")


@pytest.fixture
def config(toy_config):
    run = dataclasses.replace(toy_config.run, epochs=1, log_every=None, sample_epochs=(), devices=1)
    return dataclasses.replace(toy_config, method=METHOD, run=run)


def load_classes(monkeypatch, dataset, *names):
    dataset = dataset._replace(labels=dataset.labels % len(names), class_names=names)
    monkeypatch.setattr(data, "load", lambda name, split="train", data_dir=None: dataset)


@pytest.mark.slow
def test_the_networks_have_an_embedding_for_each_class_of_the_data_and_the_run_a_picture_of_them(
    config, toy_dataset, monkeypatch
):
    load_classes(monkeypatch, toy_dataset, "circle", "square", "line")
    kept = []
    train = loop.train
    monkeypatch.setattr(launch, "train", lambda *args, **kwargs: kept.append(train(*args, **kwargs)) or kept[0])
    launch.run(config)
    assert kept[0].generator.params["embedding"]["kernel"].shape == (3, 2)
    assert kept[0].discriminator.params["output"]["kernel"].shape[-1] == 1 + 3
    assert (Workdir(config.run.workdir).figures / "classes.png").stat().st_size > 1000


def test_images_of_no_classes_cannot_be_conditioned_on(config, toy_dataset, monkeypatch):
    load_classes(monkeypatch, toy_dataset, "face")
    with pytest.raises(UserError, match="--conditional: the images of mnist are of no classes"):
        launch.run(config)
    assert not config.run.workdir.exists()
