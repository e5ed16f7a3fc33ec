import pytest
from fsspec.implementations.memory import MemoryFileSystem

from jaxgan import data
from jaxgan.runs import launch


@pytest.fixture
def toy_loaded(toy_dataset, monkeypatch):
    """Makes every data set the toy one."""
    monkeypatch.setattr(data, "load", lambda name, split="train", data_dir=None, image_size=None: toy_dataset)


@pytest.fixture
def start(toy_config, toy_loaded):
    """Runs the command on the toy data, and returns its exit code."""

    def start(*flags, default=toy_config):
        try:
            launch.main(default, [*map(str, flags), "--devices", "1"] if "--devices" not in flags else flags)
        except SystemExit as stopped:
            return stopped.code
        return 0

    return start


@pytest.fixture
def snapshot():
    """Reads every file below a folder."""
    return lambda folder: {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture
def bucket(monkeypatch, tmp_path):
    """An empty store of objects, memory://, and an empty cache of the user."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(MemoryFileSystem, "store", {})
    monkeypatch.setattr(MemoryFileSystem, "pseudo_dirs", [""])
    return MemoryFileSystem.store
