"""Eight CPU devices for all tests, and run-time checks of every annotated shape."""

import contextlib
import gc
import io
import os
import shutil
import signal
import tempfile
from importlib.metadata import version
from pathlib import Path

if "PYTEST_XDIST_WORKER" not in os.environ:  # workers inherit all this
    # Programs that several tests compile are compiled once, if that takes longer than to write and read them.
    os.environ["JAX_COMPILATION_CACHE_DIR"] = tempfile.mkdtemp(prefix="jaxgan-tests-")
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.2"
    os.environ["JAX_TRACEBACK_IN_LOCATIONS_LIMIT"] = "0"  # no source lines in programs either
    # Small programs, compiled far more often than run: without LLVM's optimizations they take half the time, and with
    # XLA's former way to write loops, as long as there is one, half of that (an unknown flag would end the process).
    quick = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true "
    if version("jaxlib").startswith("0.10."):
        quick += "--xla_cpu_use_fusion_emitters=false "
    flags = "--xla_force_host_platform_device_count=8 --xla_cpu_parallel_codegen_split_count=1 " + quick
    os.environ["XLA_FLAGS"] = flags + os.environ.get("XLA_FLAGS", "")
    os.environ["JAX_PLATFORMS"] = "cpu"
    os.environ["FLAX_PROFILE"] = "0"  # no names of layers in programs, which take a twelfth of the time to trace

import jaxtyping

# Modules that hold pytree dataclasses are left out: JAX rebuilds those with placeholders in place of arrays. So are
# those that hold configs: these take any value, and validation complains of wrong ones.
CHECKED = ["nn", "figures", "data.order"]
CHECKED += [f"methods.{name}" for name in ("gan", "losses", "penalties", "optimization")]
jaxtyping.install_import_hook([f"jaxgan.{name}" for name in CHECKED], "beartype.beartype")
# Where the checks are made: these call every annotated function, those beside them the same ones again.
CHECKING = ["data", "methods", "nn", "properties", "test_every_method.py", "test_figures.py"]

import hypothesis
import numpy as np
import pytest
from filelock import FileLock

from jaxgan import data
from jaxgan.config import Config, Run
from jaxgan.data import Dataset
from jaxgan.methods.vanilla_gan import VanillaGAN
from jaxgan.runs import launch, tracking
from jaxgan.runs.workdir import Workdir
from tests.training import snapshot

# Under nohup and in the background of a script signals are ignored, and then by the commands that tests start too.
for name, usual in {"SIGHUP": signal.SIG_DFL, "SIGINT": signal.default_int_handler}.items():
    if hasattr(signal, name) and signal.getsignal(getattr(signal, name)) == signal.SIG_IGN:
        signal.signal(getattr(signal, name), usual)

# Tracing makes many small objects that live. Python's collector would walk them all again and again.
gc.set_threshold(50_000, 20, 100)

# The same examples in every run, whatever the speed of the machine: what fails here fails everywhere.
ALIKE = {"derandomize": True, "deadline": None, "suppress_health_check": [hypothesis.HealthCheck.too_slow]}
hypothesis.settings.register_profile("repeatable", **ALIKE)
hypothesis.settings.register_profile("thorough", **ALIKE, max_examples=700)
hypothesis.settings.load_profile("repeatable")


def pytest_collection_finish():
    """Keeps the modules that are imported by now out of the collector's way."""
    gc.freeze()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    """Checks annotated shapes in some of the rooms: they cost as much as a tenth of the time."""
    room = item.path.relative_to(Path(__file__).parent).parts[0]
    jaxtyping.config.update("jaxtyping_disable", room not in CHECKING)


def pytest_sessionfinish(session):
    """Clears away the programs that the tests compiled."""
    if not hasattr(session.config, "workerinput"):
        shutil.rmtree(os.environ["JAX_COMPILATION_CACHE_DIR"], ignore_errors=True)


@pytest.fixture(scope="session")
def toy_dataset():
    """Seventy small images: three batches of 20 an epoch, and ten images left over."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (70, 6, 5, 1), dtype=np.uint8)
    labels = rng.integers(0, 10, 70).astype(np.int32)
    return Dataset("toy", images, labels, tuple("0123456789"))


def toy(workdir):
    """A config that trains on the toy data in a moment, and logs within an epoch."""
    method = VanillaGAN(latent_size=3, hidden_units=8, ema_decay=0.9)
    run = Run(workdir=workdir, epochs=3, batch_size=20, checkpoint_every=1, log_every=2, sample_epochs=(1, 2))
    return Config(method=method, run=run)


@pytest.fixture
def toy_config(tmp_path):
    """A config that trains on the toy data in a moment, and logs within an epoch; nothing is in its folder yet."""
    return toy(tmp_path / "run")


@pytest.fixture
def toy_data(monkeypatch, toy_dataset):
    """Puts the toy data in the place of every data set that is loaded."""
    monkeypatch.setattr(data, "load", lambda name, split="train", data_dir=None, image_size=None: toy_dataset)
    return toy_dataset


@pytest.fixture
def start(toy_config, toy_data):
    """Runs the command on the toy data, on one device unless told otherwise, and returns its exit code."""

    def start(*flags, default=toy_config):
        try:
            launch.main(default, [*map(str, flags), "--devices", "1"] if "--devices" not in flags else flags)
        except SystemExit as stopped:
            return stopped.code
        return 0

    return start


@pytest.fixture
def not_started(start, capfd):
    """Runs the command on the toy data where it is refused, and returns the one line that says why."""

    def not_started(*flags):
        assert start(*flags) == 2
        error = capfd.readouterr().err
        assert error.count("\n") == 1
        return error

    return not_started


@pytest.fixture
def refused(capsys):
    """Runs a command that ends with one line, which it returns, prints nothing else and leaves a folder as it was."""

    def refused(command, *argv, root=None, code=2):
        before = root and snapshot(root)
        with pytest.raises(SystemExit) as ended:
            command([str(each) for each in argv])
        shown = capsys.readouterr()
        assert (ended.value.code, shown.out, shown.err.count("\n")) == (code, "", 1)
        assert (root and snapshot(root)) == before
        return shown.err

    return refused


@pytest.fixture(scope="session")
def finished_toy_run(toy_dataset, shared_folder):
    """The folder that the command leaves behind with the toy config, on one device; beside it what it prints."""
    config, printed = toy(shared_folder / "finished" / "run"), shared_folder / "finished" / "printed"
    with FileLock(shared_folder / "finished.lock"), pytest.MonkeyPatch.context() as patch:
        if not printed.exists():
            patch.setattr(data, "load", lambda name, split="train", data_dir=None, image_size=None: toy_dataset)
            with contextlib.redirect_stdout(io.StringIO()) as output:
                launch.main(config, ["--devices", "1"])
            printed.write_text(output.getvalue())
    return config.run.workdir


@pytest.fixture
def finished(finished_toy_run, toy_config):
    """The same in the folder of the toy config, to go on with."""
    shutil.copytree(finished_toy_run, toy_config.run.workdir)
    return Workdir(toy_config.run.workdir)


@pytest.fixture
def undrawn(monkeypatch):
    """Leaves out a run's pictures and histograms, which take longer than to train on toy data."""
    monkeypatch.setattr(tracking, "draw", lambda *args, **how: [])
    monkeypatch.setattr("jaxgan.runs.train._distributions", lambda *args, **how: lambda state: {})


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory):
    """A folder that is the same in all workers."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@pytest.fixture(scope="session")
def mnist_dir(shared_folder):
    """A folder in which the real MNIST is prepared, from the archive in the package."""
    data.prepare("mnist", data_dir=shared_folder / "mnist")  # safe when two workers come to it at once
    return shared_folder / "mnist"


@pytest.fixture(scope="session")
def photographs(tmp_path_factory):
    """A folder in which small stand-ins of CIFAR-10 and CelebA are prepared by TFDS."""
    from .photographs import prepare  # imports TFDS

    return prepare(tmp_path_factory.mktemp("photographs"))
