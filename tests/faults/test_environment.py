import os
import pwd
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from jaxgan import data
from jaxgan.data import Dataset, cache
from jaxgan.data.catalog import MNIST
from jaxgan.data.prepared import Prepared
from jaxgan.errors import UserError
from jaxgan.runs.workdir import Workdir
from jaxgan.runtime.numerics import fixed_numerics

ROOT = Path(__file__).parents[2]
FLAGS = "--epochs 3 --batch-size 20 --checkpoint-every 1 --log-every 2 --sample-epochs 1 2 --devices 1"
UNUSUAL = {
    "JAX_ENABLE_X64": "1",
    "JAX_DEFAULT_PRNG_IMPL": "rbg",
    "JAX_THREEFRY_PARTITIONABLE": "0",
    "JAX_RANDOM_SEED_OFFSET": "1",
    "JAX_TRANSFER_GUARD": "disallow",
    "JAX_NUMPY_DTYPE_PROMOTION": "strict",
    "JAX_NUMPY_RANK_PROMOTION": "raise",
    "JAX_DISABLE_JIT": "1",
    "PYTHONOPTIMIZE": "2",
    "PYTHONWARNINGS": "error",
    "MPLBACKEND": "module_that_is_not_there",
    "PYTHONIOENCODING": "ascii",
}
DRAW = """
import sys
from pathlib import Path
import numpy as np
from jaxgan import figures
images = np.arange(480, dtype=np.uint8).reshape(16, 6, 5, 1)
figures.save(figures.sample_grid(images, title="$z$"), Path(sys.argv[1]))
"""


def run(*command, **environment):
    environment = {name: value for name, value in {**os.environ, **environment}.items() if value is not None}
    return subprocess.run([sys.executable, *command], env=environment, capture_output=True, text=True, cwd=ROOT)


def train(folder, **environment):
    return run("-m", "tests.integration.toy_process", *FLAGS.split(), "--workdir", str(folder), **environment)


@pytest.mark.slow
def test_a_run_in_an_unusual_environment_has_the_usual_numbers(tmp_path, finished_toy_run):
    done = train(tmp_path / "run", **UNUSUAL)
    assert (done.returncode, done.stderr) == (0, "")
    found, usual = Workdir(tmp_path / "run"), Workdir(finished_toy_run)
    assert found.metrics.read_bytes() == usual.metrics.read_bytes()
    for drawn, expected in zip(sorted(found.figures.glob("*")), sorted(usual.figures.glob("*")), strict=True):
        assert drawn.read_bytes() == expected.read_bytes(), drawn.name


def test_random_numbers_do_not_depend_on_a_user_s_settings():
    draw = lambda: np.asarray(jax.random.bits(jax.random.key(3), (4,)))
    usual = draw()
    jax.config.update("jax_random_seed_offset", 1)
    try:
        with jax.threefry_partitionable(False), jax.transfer_guard("disallow"), fixed_numerics():
            np.testing.assert_array_equal(draw(), usual)
        assert jax.config.jax_random_seed_offset == 1
        assert np.any(draw() != usual)
    finally:
        jax.config.update("jax_random_seed_offset", 0)


@pytest.mark.slow
def test_an_environment_without_a_device_is_told_in_one_line(tmp_path):
    done = train(tmp_path / "run", JAX_PLATFORMS="nonsense")
    assert done.returncode == 2
    assert "JAX_PLATFORMS: 'nonsense' gives no device" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_a_user_without_a_home_needs_a_data_dir_and_no_cache(monkeypatch, tmp_path):
    for name in ("HOME", "TFDS_DATA_DIR", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", {}.__getitem__)  # as for a number that a container was started with
    with pytest.raises(UserError, match="--data-dir: '~/tensorflow_datasets' starts with a home folder that does not"):
        data.describe("mnist")
    split = Dataset("mnist", np.zeros((2, 28, 28, 1), np.uint8), np.zeros(2, np.int32), MNIST.class_names)
    for directory in (tmp_path, Path("/proc/nowhere")):
        prepared = Prepared(directory, "fingerprint")
        cache.write(MNIST, "train", split, prepared=prepared)
        assert (cache.read(MNIST, "train", prepared=prepared) is not None) == (directory == tmp_path)


@pytest.mark.slow
def test_pictures_do_not_depend_on_a_users_matplotlib(tmp_path):
    (tmp_path / "rc").mkdir()
    settings = ("text.usetex: True", "image.origin: lower", "image.cmap: jet", "font.size: 30", "savefig.bbox: tight")
    (tmp_path / "rc" / "matplotlibrc").write_text("\n".join(settings))
    user = {"MPLCONFIGDIR": str(tmp_path / "rc"), "MPLBACKEND": "module_that_is_not_there"}
    for name, environment in {"plain": {}, "users": user}.items():
        done = run("-c", DRAW, str(tmp_path / f"{name}.png"), **environment)
        assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "plain.png").read_bytes() == (tmp_path / "users.png").read_bytes()
