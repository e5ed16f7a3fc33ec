"""Several real processes as one run: the numbers of one, its checkpoints, and an end together."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest

from jaxgan.runs.checkpoints import latest_step
from jaxgan.runs.workdir import Workdir
from tests.training import final_state

from . import toy_process

pytestmark = pytest.mark.slow

SCRIPT = Path(toy_process.__file__)
FLAGS = ["--batch-size", "20", "--checkpoint-every", "1", "--sample-epochs", "1"]
FOREVER = ["--epochs", "100000"]
SECONDS = 100  # of patience with a process


def exhaustive(*case):
    return pytest.param(*case, marks=pytest.mark.exhaustive)


def free_address():
    with socket.socket() as free:
        free.bind(("localhost", 0))
        return f"localhost:{free.getsockname()[1]}"


def start(folder, count, *flags, devices=1, indices=None, own=None, cwds=None, address=None):
    """Starts the processes of a run on this machine; one is started without any flag for processes."""
    address = address or free_address()
    environment = os.environ | {
        "XLA_FLAGS": f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count={devices}",
        "PYTHONPATH": str(SCRIPT.parents[2]),
    }
    command = [sys.executable, str(SCRIPT), "--workdir", str(folder), *FLAGS, *map(str, flags)]
    places = [
        ["--coordinator", address, "--process-count", str(count), "--process-index", str(i)] for i in range(count)
    ]
    return [
        subprocess.Popen(
            [*command, *(places[i] if count > 1 else []), *(own[i] if own else [])],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
            cwd=cwds[i] if cwds else None,
        )
        for i in (range(count) if indices is None else indices)
    ]


def finish(running):
    """Waits for processes, and returns the exit code, the output and the errors of each."""
    try:
        texts = [process.communicate(timeout=SECONDS) for process in running]
    finally:
        for process in running:
            process.kill()
    return [(process.returncode, *text) for process, text in zip(running, texts, strict=True)]


def train(folder, count, *flags, **how):
    results = finish(start(folder, count, *flags, **how))
    assert [code for code, _, _ in results] == [0] * count, results
    return results


def wait_for_checkpoint(folder, running, *, beyond=0):
    while (latest_step(Workdir(folder).checkpoints) or 0) <= beyond:
        assert all(process.poll() is None for process in running), finish(running)
        time.sleep(0.05)


def rows(folder):
    return [json.loads(line) for line in Workdir(folder).metrics.read_text().splitlines()]


def assert_same_losses(folder, expected, *, strict=True):
    """Asserts equal rows of metrics; without ``strict`` one run may have more epochs."""
    for found, row in zip(rows(folder), rows(expected), strict=strict):
        assert found == pytest.approx(row, rel=1e-5)


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    folder = tmp_path_factory.mktemp("alone") / "run"
    train(folder, 1, "--epochs", 3)
    return folder


@pytest.mark.parametrize(("count", "devices", "parallel"), [(4, 1, "auto"), exhaustive(2, 2, "pmap")])
def test_several_processes_have_the_losses_state_and_files_of_one(count, devices, parallel, alone, tmp_path):
    (_, output, _), *others = train(tmp_path / "run", count, "--epochs", 3, "--parallel", parallel, devices=devices)
    assert_same_losses(tmp_path / "run", alone)
    close = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)
    jax.tree.map(close, final_state(tmp_path / "run"), final_state(alone))
    names = lambda folder: {p.relative_to(folder) for p in folder.rglob("*.*") if "tfevents" not in p.name}
    kept = lambda folder: {p for p in names(folder) if "checkpoints" not in p.parts}
    assert kept(tmp_path / "run") == kept(alone)
    assert f"{count * devices} cpu under" in output
    assert f"in {count} processes" in output
    for _, other, errors in others:
        printed = [line for line in other.splitlines() if "peer ranks" not in line and "[Gloo]" not in line]
        assert "".join(printed).strip() == ""
        assert errors == ""


@pytest.mark.parametrize(("devices", "parallel"), [exhaustive(1, "auto"), (2, "pmap")])
def test_processes_that_each_stream_their_part_have_the_losses_of_one(devices, parallel, alone, tmp_path):
    flags = ["--input", "stream", "--parallel", parallel]
    train(tmp_path / "run", 2, "--epochs", 1, *flags, devices=devices)
    train(tmp_path / "run", 2, "--epochs", 3, "--resume", "must", *flags, devices=devices)
    assert_same_losses(tmp_path / "run", alone)


def test_a_run_moves_from_one_process_to_two(alone, tmp_path):
    folder = Workdir(shutil.copytree(alone, tmp_path / "run"))
    shutil.rmtree(folder.checkpoints / "9")
    train(folder.root, 2, "--epochs", 3, "--resume", "must")
    assert_same_losses(folder.root, alone)


@pytest.mark.parametrize(("signum", "told"), [(signal.SIGTERM, 1), exhaustive(signal.SIGINT, 0)])
def test_a_signal_to_one_process_saves_all_and_one_goes_on(signum, told, alone, tmp_path):
    running = start(tmp_path / "run", 2, *FOREVER)
    wait_for_checkpoint(tmp_path / "run", running)
    running[told].send_signal(signum)
    (code, _, errors), (other_code, _, other_errors) = finish(running)
    assert (code, other_code) == (0, 0), (errors, other_errors)
    step = latest_step(Workdir(tmp_path / "run").checkpoints)
    assert f"stopped by SIGTERM after step {step} and saved" in errors
    train(tmp_path / "run", 1, "--epochs", step // 3 + 1, "--resume", "must")
    assert_same_losses(tmp_path / "run", alone, strict=False)


@pytest.mark.parametrize("dead", [1, exhaustive(0)])
def test_a_dead_process_ends_the_other_soon(dead, tmp_path):
    running = start(tmp_path / "run", 2, *FOREVER)
    wait_for_checkpoint(tmp_path / "run", running)
    running[dead].kill()
    began = time.monotonic()
    code, _, errors = finish(running)[1 - dead]
    assert time.monotonic() - began < 40
    assert code in (1, -signal.SIGABRT), errors
    # JAX's own words may come first: always if the process is missed at a barrier, or was the coordinator.
    assert "another process or a device is gone" in errors or "another task died" in errors
    assert "Traceback" not in errors
    if dead == 1:  # both go on from the checkpoint
        step = latest_step(Workdir(tmp_path / "run").checkpoints)
        train(tmp_path / "run", 2, "--epochs", step // 3 + 1, "--resume", "must")


def test_a_process_that_hangs_is_given_up(tmp_path):
    running = start(tmp_path / "run", 2, *FOREVER)
    wait_for_checkpoint(tmp_path / "run", running)
    running[1].send_signal(signal.SIGSTOP)
    began = time.monotonic()
    try:
        _, errors = running[0].communicate(timeout=SECONDS)
    finally:
        running[1].kill()
    assert time.monotonic() - began < 40
    assert running[0].returncode not in (0, None)
    assert "Task 1" in errors or "unhealthy" in errors
    finish(running[1:])


def test_an_error_of_one_process_ends_the_others(tmp_path):
    running = start(tmp_path / "run", 2, *FOREVER)
    wait_for_checkpoint(tmp_path / "run", running)
    shutil.rmtree(tmp_path / "run", ignore_errors=True)  # which process 0 alone looks after
    (code, _, errors), (other_code, _, other_errors) = finish(running)
    assert re.search("process 0 of 2 stopped: .*(was removed|No such file)", errors)
    assert code == 1
    assert other_code in (1, -signal.SIGABRT)
    assert "process 1 of 2 stopped" in other_errors


def test_a_process_whom_nobody_meets_says_so_in_one_line(tmp_path):
    ((code, _, errors),) = finish(start(tmp_path / "run", 2, indices=[1]))
    assert code == 2
    assert "not all 2 processes connected to" in errors
    assert errors.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_a_second_run_on_the_same_port_ends_and_leaves_the_first_alone(tmp_path):
    address = free_address()
    first = start(tmp_path / "first", 2, *FOREVER, address=address)
    wait_for_checkpoint(tmp_path / "first", first)
    reasons = ("its port cannot be opened (Address already in use)", "process 1 of another run on this machine uses")
    for (code, _, errors), reason in zip(finish(start(tmp_path / "second", 2, address=address)), reasons, strict=True):
        assert code == 2
        assert reason in errors
        assert "give each run its own port" in errors
        assert errors.count("\n") == 1
    assert not (tmp_path / "second").exists()
    wait_for_checkpoint(tmp_path / "first", first, beyond=latest_step(Workdir(tmp_path / "first").checkpoints))
    first[0].terminate()
    assert [code for code, _, _ in finish(first)] == [0, 0]


def test_other_flags_in_another_process_end_both_in_one_line(tmp_path):
    for code, _, errors in finish(start(tmp_path / "run", 2, own=[["--seed", "1"], ["--seed", "2"]])):
        assert code == 2
        assert "--seed: 2 in process 1 but 1 in process 0; give all the same" in errors
        assert errors.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_a_folder_that_is_not_shared_ends_both_in_one_line(tmp_path):
    homes = [tmp_path / "here", tmp_path / "there"]
    for home in homes:
        home.mkdir()
    for code, _, errors in finish(start("run", 2, cwds=homes)):
        assert code == 2
        assert "--workdir: process 1 does not see what process 0 writes in 'run'; give a folder that all" in errors
        assert errors.count("\n") == 1
    assert not any((home / "run").exists() for home in homes)


def test_a_batch_that_the_processes_cannot_share_is_refused(tmp_path):
    for code, _, errors in finish(start(tmp_path / "run", 2, "--batch-size", "21")):
        assert code == 2
        assert "--batch-size: 21 is not allowed, it must be a multiple of the 2 devices of 2 processes" in errors
        assert errors.count("\n") == 1
    assert not (tmp_path / "run").exists()
