import pytest
from fsspec.implementations.memory import MemoryFileSystem


@pytest.fixture
def bucket(monkeypatch, tmp_path):
    """An empty store of objects, memory://, and an empty cache of the user."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(MemoryFileSystem, "store", {})
    monkeypatch.setattr(MemoryFileSystem, "pseudo_dirs", [""])
    return MemoryFileSystem.store
