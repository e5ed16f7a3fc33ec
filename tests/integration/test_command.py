"""The experiment as a user types it, on the real MNIST, and killed on the way."""

import os
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from jaxgan.runs import tracking
from jaxgan.runs.workdir import Workdir
from tests.training import assert_same, content

SCRIPT = Path(__file__).parents[2] / "experiments" / "vanilla_gan.py"
FLAGS = ["--epochs", "3", "--checkpoint-every", "1", "--log-every", "300", "--hidden-units", "8", "--devices", "1"]

pytestmark = pytest.mark.slow


def start(folder, mnist_dir, *, prefix=()):
    command = [*prefix, sys.executable, str(SCRIPT), *FLAGS, "--workdir", str(folder), "--data-dir", str(mnist_dir)]
    environment = {**os.environ, "XLA_FLAGS": ""}  # as a user has it: one device, and optimized
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def wait_for(condition, process):
    while not condition():
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)


def has_more_rows(folder, rows):
    return len(tracking.read_rows(folder.metrics)) > rows


@pytest.fixture(scope="module")
def unbroken(mnist_dir, tmp_path_factory):
    folder = tmp_path_factory.mktemp("unbroken") / "run"
    output, errors = start(folder, mnist_dir).communicate()
    assert errors == ""
    return folder, output


def test_the_command_says_what_it_built_and_names_what_it_wrote(unbroken):
    folder, output = unbroken
    for words in ("Generator", "Discriminator", "7,224", "epoch 3/3", "steps/s", "D(x)", "D(G(z))", "Wrote"):
        assert words in output
    assert str(folder / "figures" / "samples.png") in output


def test_a_run_stopped_by_signals_says_how_to_go_on_to_the_same_bytes(mnist_dir, tmp_path, unbroken):
    folder, rows = Workdir(tmp_path / "run"), 0
    for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        process = start(folder.root, mnist_dir)
        wait_for(partial(has_more_rows, folder, rows), process)
        process.send_signal(signum)
        _, errors = process.communicate()
        assert process.returncode == 128 + signum
        assert "run the same command with --resume auto" in errors
        assert "Traceback" not in errors
        rows = len(tracking.read_rows(folder.metrics))
    resumed = start(folder.root, mnist_dir)
    assert resumed.communicate()[1] == ""
    assert resumed.returncode == 0
    assert_same(content(folder.root), content(unbroken[0]))


@pytest.mark.skipif(shutil.which("taskset") is None, reason="no command to confine a process to a core")
def test_one_core_computes_what_all_cores_do(mnist_dir, tmp_path, unbroken):
    one = min(os.sched_getaffinity(0))
    process = start(tmp_path / "run", mnist_dir, prefix=["taskset", "-c", str(one)])
    assert process.communicate()[1] == ""
    found, expected = (tracking.read_rows(Workdir(folder).metrics) for folder in (tmp_path / "run", unbroken[0]))
    for row, same in zip(found, expected, strict=True):
        assert row == pytest.approx(same, rel=1e-3)  # a GAN's rounding grows with its steps


def test_a_run_killed_without_warning_ends_in_the_same_bytes(mnist_dir, tmp_path, unbroken):
    folder = Workdir(tmp_path / "run")
    process = start(folder.root, mnist_dir)
    wait_for(lambda: any(p.name.isdigit() for p in folder.checkpoints.glob("*")), process)
    process.kill()
    process.communicate()
    resumed = start(folder.root, mnist_dir)
    assert resumed.communicate()[1] == ""
    assert resumed.returncode == 0
    assert_same(content(folder.root), content(unbroken[0]))
