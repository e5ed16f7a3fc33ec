"""What each room of the package may do, where the import contracts of pyproject.toml cannot tell."""

import ast
from pathlib import Path

import pytest

import jaxgan

PACKAGE = Path(jaxgan.__file__).parent
READS = {"open", "read_bytes", "read_text"}
WRITES = {"makedirs", "mkdir", "mkdtemp", "mkstemp", "rename", "rmdir", "rmtree", "save", "savez", "symlink_to"}
WRITES |= {"touch", "unlink", "write_bytes", "write_text"}
COLLECTIVES = {"all_gather", "all_to_all", "pmap", "pmax", "pmean", "pmin", "ppermute", "psum", "shard_map"}
PARALLEL = ("jax.sharding", "jax.experimental", "jax.lax")


def modules(room):
    return sorted((PACKAGE / room).glob("*.py"))


def imported(source):
    """The modules and names that a source imports, by their whole path."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def called(source):
    """The functions and methods that a source calls, by their last name."""
    calls = (node.func for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call))
    return {getattr(function, "id", getattr(function, "attr", None)) for function in calls}


def parallel_names(source):
    """The meshes, shardings and collectives of JAX that a source names."""
    paths = {ast.unparse(node) for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Attribute)}
    return {path for path in (*imported(source), *paths) if path.startswith(PARALLEL)} | {
        path for path in paths if path.rpartition(".")[2] in COLLECTIVES
    }


@pytest.mark.parametrize("module", modules("runtime"), ids=lambda path: path.stem)
def test_the_runtime_opens_no_file(module):
    assert not called(module.read_text()) & (READS | WRITES)


@pytest.mark.parametrize("module", modules("runs"), ids=lambda path: path.stem)
def test_a_run_names_no_mesh_sharding_or_collective(module):
    assert not parallel_names(module.read_text())


def test_one_module_imports_the_internals_of_jax():
    found = {p for p in PACKAGE.rglob("*.py") if any(name.startswith("jax._src") for name in imported(p.read_text()))}
    assert found == {PACKAGE / "runtime" / "jax_internals.py"}


def test_files_and_collectives_are_found_where_they_are():
    assert called((PACKAGE / "runs" / "workdir.py").read_text()) & READS
    assert called((PACKAGE / "runs" / "workdir.py").read_text()) & WRITES
    assert parallel_names((PACKAGE / "runtime" / "devices.py").read_text())
