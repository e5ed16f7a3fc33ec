"""Real processes whose disks do not outlive them: what is at an address is enough to go on, bit for bit."""

import json
import os
import subprocess
import sys
import time

import jax
import numpy as np
import pytest

from jaxgan.runs import mirror
from tests.training import assert_same, content

from .test_processes import FLAGS, SCRIPT, finish, free_address

pytestmark = pytest.mark.slow

EPOCHS = ["--epochs", "20", "--checkpoint-every", "2"]


def start(folder, *flags, homes):
    """Starts the processes of a run, each with a disk of its own; the address is a folder that fsspec reaches."""
    places = ["--coordinator", free_address(), "--process-count", str(len(homes)), "--process-index"]
    command = [sys.executable, str(SCRIPT), "--workdir", f"file://{folder}", *FLAGS, *EPOCHS, *flags]
    common = os.environ | {
        "XLA_FLAGS": f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count=1",
        "PYTHONPATH": str(SCRIPT.parents[2]),
    }
    return [
        subprocess.Popen(
            [*command, *([*places, str(index)] if len(homes) > 1 else [])],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=common | {"XDG_CACHE_HOME": str(home)},
        )
        for index, home in enumerate(homes)
    ]


def newest(folder):
    """The newest checkpoint that the address names."""
    try:
        names = json.loads((folder / "mirror.json").read_text())["files"]
    except (OSError, ValueError):
        return 0
    return max((int(name.split("/")[1]) for name in names if name.startswith("checkpoints/")), default=0)


def wait_for_checkpoint(folder, running, *, beyond):
    while newest(folder) <= beyond:
        assert all(process.poll() is None for process in running), finish(running)
        time.sleep(0.01)


def left_at(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "looking"))
    return content(mirror.local_copy(f"file://{folder}"))


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    folder = tmp_path_factory.mktemp("unbroken") / "run"
    assert [code for code, _, _ in finish(start(folder, homes=[folder.parent / "home"]))] == [0]
    with pytest.MonkeyPatch.context() as patch:
        return left_at(folder, folder.parent, patch)


def test_killed_runs_go_on_on_other_hosts_to_the_same_bytes(unbroken, tmp_path, monkeypatch):
    reached = 0
    for attempt, signal in enumerate(["kill", "terminate"]):
        (process,) = running = start(tmp_path / "run", homes=[tmp_path / f"home {attempt}"])
        wait_for_checkpoint(tmp_path / "run", running, beyond=reached)
        getattr(process, signal)()
        ((code, _, errors),) = finish(running)
        assert code == {"kill": -9, "terminate": 143}[signal]
        if signal == "terminate":
            assert f"after step {newest(tmp_path / 'run')} and saved" in errors
        reached = newest(tmp_path / "run")
    assert [code for code, _, _ in finish(start(tmp_path / "run", homes=[tmp_path / "last"]))] == [0]
    assert_same(left_at(tmp_path / "run", tmp_path, monkeypatch), unbroken)


def test_processes_with_a_disk_each_go_on_on_other_hosts(unbroken, tmp_path, monkeypatch):
    running = start(tmp_path / "run", homes=[tmp_path / "0", tmp_path / "1"])
    wait_for_checkpoint(tmp_path / "run", running, beyond=0)
    for process in running:
        process.kill()
    finish(running)
    results = finish(start(tmp_path / "run", homes=[tmp_path / "2", tmp_path / "0"]))
    assert [code for code, _, _ in results] == [0, 0], results
    files, state = left_at(tmp_path / "run", tmp_path, monkeypatch)
    assert files.keys() == unbroken[0].keys()
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5), state, unbroken[1])
