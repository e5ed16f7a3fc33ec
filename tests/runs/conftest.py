import jax
import numpy as np
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from jaxgan import data
from jaxgan.config import Config, Run
from jaxgan.evaluation import feature_network
from jaxgan.methods import build
from jaxgan.methods.vanilla_gan import VanillaGAN
from tests.random_states import random_like
from tests.runs.pixels import extract, split_of
from tests.training import save_run


@pytest.fixture(scope="module")
def pixel_features():
    """A feature network of a few pixels, and random images that need no preparing."""
    network = feature_network.FeatureNetwork("pixels-1", extract)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(feature_network, "load", lambda data="mnist", image_size=None, classes=None: network)
        patch.setattr(data, "load", lambda name, split="train", data_dir=None, image_size=None: split_of(split))
        yield


@pytest.fixture
def bucket(monkeypatch, tmp_path):
    """An empty store of objects, memory://, and an empty cache of the user."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(MemoryFileSystem, "store", {})
    monkeypatch.setattr(MemoryFileSystem, "pseudo_dirs", [""])
    return MemoryFileSystem.store


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The folder of a run whose state is of random numbers."""
    root = tmp_path_factory.mktemp("runs") / "run"
    config = Config(VanillaGAN(latent_size=3, hidden_units=4, ema_decay=0.9), Run(workdir=root))
    method = build(config.method, image_shape=(28, 28, 1))
    state = random_like(jax.eval_shape(method.init, jax.random.key(0)), dtype=np.float32, seed=1)
    save_run(config, method, states={5: state})
    return root
