import random
import shutil
import tarfile
import zlib
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from studies.damage import flip

import jaxgan
from jaxgan import cli
from jaxgan.config import Config, Run
from jaxgan.data import Dataset, cache
from jaxgan.data.catalog import MNIST
from jaxgan.data.prepared import Prepared
from jaxgan.errors import UserError
from jaxgan.evaluation import feature_network
from jaxgan.methods import build
from jaxgan.methods.vanilla_gan import VanillaGAN
from jaxgan.runs import checkpoints, digests
from jaxgan.runs.best import keep_best
from jaxgan.runs.workdir import Workdir
from jaxgan.runtime.devices import replicated
from jaxgan.runtime.program import Carry
from tests.random_states import random_like
from tests.training import assert_same, content, save_run, train_config

FIRST_EDITION = Path(__file__).parents[1] / "runs" / "first_edition" / "vanilla_gan.tar.xz"
EVERYWHERE = replicated(jax.devices()[:1])


def carry_of(seed):
    """A carry with arrays of several types and sizes."""
    rng = np.random.default_rng(seed)
    weights = {"kernel": rng.standard_normal((40, 30)), "bias": jnp.asarray(rng.standard_normal(3), jnp.bfloat16)}
    state = {"network": weights, "step": np.int32(seed), "mask": rng.random(9) < 0.5}
    return jax.device_put(Carry(state, {"loss": np.float32(seed)}, np.int32(0)), EVERYWHERE)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A folder with checkpoints of steps 3 and 6."""
    folder = tmp_path_factory.mktemp("saved")
    with checkpoints.checkpoint_manager(folder) as manager:
        for step in (3, 6):
            checkpoints.save(manager, carry_of(step), step=step)
    return folder


def newest(folder):
    with checkpoints.checkpoint_manager(folder) as manager:
        step, carry = checkpoints.restore_newest(manager, jax.eval_shape(lambda: carry_of(3)), sharding=EVERYWHERE)
    return step, jax.device_get(carry)


def files_of(folder):
    return sorted(p for p in folder.rglob("*") if p.is_file())


def arrays_of(folder):
    """The file with most of the arrays of a checkpoint."""
    return max((p for p in files_of(folder) if p.parent.name == "d"), key=lambda p: p.stat().st_size)


def flip_arrays(folder):
    """Flips a bit of each file with arrays: some files hold earlier states of the index."""
    for path in files_of(folder):
        if path.parent.name == "d":
            flip(path, 4 * path.stat().st_size)


def random_bits(files, largest, *, count):
    """Bits of files: half of them in any file alike, half in the largest one."""
    rng = random.Random(0)
    for i in range(count):
        path = rng.choice(files) if i % 2 else largest
        if size := path.stat().st_size:
            yield path, rng.randrange(8 * size)


def assert_survived(saved, folder, capfd, words):
    """Asserts that what is restored from a damaged folder is what one of its steps was saved with."""
    step, found = newest(folder)
    jax.tree.map(np.testing.assert_array_equal, found, jax.device_get(carry_of(step)))
    assert (folder / "6.damaged").exists() == (step == 3), words
    assert "Traceback" not in capfd.readouterr().err, words
    return step


BITS = [10, pytest.param(200, marks=pytest.mark.slow)]  # in every second one, arrays


@pytest.mark.parametrize("count", BITS)
def test_a_flipped_bit_changes_no_restored_value(saved, tmp_path, capfd, caplog, count):
    steps = []
    for number, (path, bit) in enumerate(random_bits(files_of(saved / "6"), arrays_of(saved / "6"), count=count)):
        folder = shutil.copytree(saved, tmp_path / str(number))
        flip(folder / path.relative_to(saved), bit)
        steps.append(assert_survived(saved, folder, capfd, f"bit {bit} of {path}"))
        shutil.rmtree(folder)
    print(f"{count} bits: {steps.count(3)} damaged the checkpoint, {steps.count(6)} changed no value")
    assert steps.count(3) >= count // 2
    assert caplog.text.count("is damaged") == steps.count(3)


@pytest.mark.parametrize("damage", ["cut", "emptied", "removed"])
def test_a_file_cut_emptied_or_removed_changes_no_restored_value(saved, tmp_path, capfd, damage):
    steps = []
    for number, path in enumerate(files_of(saved / "6")):
        folder = shutil.copytree(saved, tmp_path / str(number))
        target = folder / path.relative_to(saved)
        match damage:
            case "cut":
                target.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
            case "emptied":
                target.write_bytes(b"")
            case "removed":
                target.unlink()
        steps.append(assert_survived(saved, folder, capfd, f"{path} {damage}"))
    assert 3 in steps


def test_the_first_array_that_differs_from_its_digest_is_named(tmp_path):
    with checkpoints.checkpoint_manager(tmp_path) as manager:
        checkpoints.save(manager, carry_of(3), step=3)
    path = tmp_path / "3" / "default" / "_METADATA"
    right = digests.digest({"kernel": carry_of(3).state["network"]["kernel"]})["kernel"]
    assert right in path.read_text()
    path.write_text(path.read_text().replace(right, right[:-1] + "x"))
    with pytest.raises(UserError) as error:
        newest(tmp_path)
    assert f"no checkpoint in {str(tmp_path)!r} is intact (state/network/kernel differs from what was" in str(
        error.value
    )
    assert "give another --workdir" in str(error.value)
    assert (tmp_path / "3").is_dir()


def test_a_digest_tells_bits_types_and_shapes_apart():
    arrays = [
        np.zeros(2, np.float32),
        np.array([0.0, -0.0], np.float32),
        np.zeros(2, np.int32),
        np.zeros((2, 1), np.float32),
    ]
    assert len({digests.digest({"x": array})["x"] for array in arrays}) == len(arrays)
    assert digests.digest({"x": jnp.zeros((0, 3), jnp.bfloat16)}) == {"x": "bfloat16(0, 3) 00000000"}
    big = np.arange(10_000, dtype=np.float32)
    assert digests.digest({"x": big})["x"].split()[1] == f"{zlib.crc32(big.data):08x}"  # checkpoints have it for good


def test_a_run_goes_on_from_the_newest_intact_one_to_the_same_end(finished, toy_config, toy_dataset, caplog):
    expected = content(finished.root)
    flip_arrays(finished.checkpoints / "9")
    train_config(toy_config, toy_dataset, resume=True)
    assert_same(content(finished.root), expected)
    (line,) = [record.getMessage() for record in caplog.records if "damaged" in record.getMessage()]
    assert f"the checkpoint {str(finished.checkpoints / '9')!r} is damaged and was renamed to '9.damaged' (" in line
    assert line.endswith("the run resumes from step 6")


def test_the_tools_refuse_a_damaged_checkpoint_in_one_line(tmp_path, refused):
    config = Config(VanillaGAN(latent_size=3, hidden_units=2), Run(workdir=tmp_path / "run"))
    method = build(config.method, image_shape=(28, 28, 1))
    abstract = jax.eval_shape(method.init, jax.random.key(0))
    save_run(config, method, states={s: random_like(abstract, dtype=np.float32, seed=s) for s in (3, 6)})
    flip_arrays(tmp_path / "run" / "checkpoints" / "6")
    for command, *flags in (["evaluate"], ["export", "--format", "torch"]):
        line = refused(cli.main, command, *flags, tmp_path / "run", root=tmp_path)
        assert line.startswith(f"jaxgan: error: the checkpoint '{tmp_path / 'run' / 'checkpoints' / '6'}' is damaged (")
        assert line.endswith("move it elsewhere to use step 3\n")


def test_a_damaged_best_checkpoint_makes_room_for_another(tmp_path, caplog):
    folder, run = Workdir(tmp_path), Run(keep_best="recall", evaluate_every=1)
    folder.metrics.write_text('{"step": 3, "epoch": 1.0, "recall": 0.9}\n')
    with keep_best(folder, run) as offer:
        offer({"recall": 0.9}, carry_of(3), 3)
    flip_arrays(folder.best / "3")
    with keep_best(folder, run) as offer:
        offer({"recall": 0.5}, carry_of(6), 6)
    assert checkpoints.latest_step(folder.best) == 6
    assert "renamed to '3.damaged'" in caplog.text


def test_a_checkpoint_without_digests_is_loaded_with_a_warning(tmp_path, caplog):
    with tarfile.open(FIRST_EDITION) as archive:
        archive.extractall(tmp_path, filter="data")
    assert jaxgan.load_run(tmp_path / "run").step == 10
    assert [r.getMessage() for r in caplog.records if "has no digests" in r.getMessage()]


def test_a_flipped_bit_in_the_cache_of_images_is_found(tmp_path):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (20, 28, 28, 1), np.uint8)
    data = Dataset("mnist", images, np.arange(20, dtype=np.int32), MNIST.class_names)
    prepared = Prepared(tmp_path / "intact", "f" * 64)
    cache.write(MNIST, "train", data, prepared=prepared)
    found = 0
    files = files_of(tmp_path / "intact")
    largest = max(files, key=lambda p: p.stat().st_size)
    for number, (path, bit) in enumerate(random_bits(files, largest, count=100)):
        folder = shutil.copytree(tmp_path / "intact", tmp_path / str(number))
        flip(folder / path.relative_to(tmp_path / "intact"), bit)
        read = cache.read(MNIST, "train", prepared=Prepared(folder, "f" * 64))
        found += read is None
        if read is not None:  # a space of a header, which holds nothing
            np.testing.assert_array_equal(read.images, data.images)
            np.testing.assert_array_equal(read.labels, data.labels)
        shutil.rmtree(folder)
    assert found >= 50


def test_a_flipped_bit_in_the_feature_network_is_refused(tmp_path, monkeypatch):
    shipped = Path(str(feature_network.SHIPPED)) / "mnist.safetensors"
    monkeypatch.setattr(feature_network, "SHIPPED", tmp_path)
    for bit in random.Random(0).sample(range(8 * shipped.stat().st_size), 20):
        shutil.copy(shipped, tmp_path)
        flip(tmp_path / shipped.name, bit)
        with pytest.raises(UserError, match="not the classifier of this version"):
            feature_network.load("mnist")
