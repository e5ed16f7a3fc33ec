import pytest
from fsspec.implementations.memory import MemoryFileSystem

from jaxgan import data
from jaxgan.evaluation import feature_network
from tests.runs.pixels import extract, split_of


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
