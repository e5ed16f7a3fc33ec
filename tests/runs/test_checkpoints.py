import jax
import numpy as np
import pytest

from jaxgan.config import Run
from jaxgan.errors import UserError
from jaxgan.methods.vanilla_gan import VanillaGAN
from jaxgan.runs import checkpoints
from jaxgan.runs.best import keep_best
from jaxgan.runs.workdir import Workdir
from jaxgan.runtime import distributed
from jaxgan.runtime.devices import replicated
from jaxgan.runtime.program import Carry
from tests.programs import stepper

SHAPE = (6, 5, 1)
SMALL = Carry({"x": np.arange(3, dtype=np.float32)}, {}, np.int32(0))


def program_on(count, *, hidden_units=8):
    config = VanillaGAN(latent_size=3, hidden_units=hidden_units, ema_decay=0.9)
    return stepper(config, devices=count, image_shape=SHAPE, batch_size=8, steps=12), replicated(jax.devices()[:count])


def restored(folder, made, sharding, *, step):
    with checkpoints.checkpoint_manager(folder) as manager:
        return checkpoints.restore(manager, jax.eval_shape(made.start), step=step, sharding=sharding)


def test_a_checkpoint_holds_what_was_saved_though_training_goes_on(tmp_path):
    made, everywhere = program_on(1)
    carry = made.start()
    with checkpoints.checkpoint_manager(tmp_path) as manager:
        expected = jax.tree.map(np.array, jax.device_get(carry))
        checkpoints.save(manager, carry, step=0)
        made.advance(carry, stop=2)  # in the same memory
    found = restored(tmp_path, made, everywhere, step=0)
    jax.tree.map(np.testing.assert_array_equal, jax.device_get(found), expected)


@pytest.mark.parametrize(("before", "after"), [(1, 8), pytest.param(4, 2, marks=pytest.mark.slow)])
def test_a_checkpoint_is_restored_to_the_bit_on_other_devices(tmp_path, before, after):
    carry = program_on(before)[0].start()
    with checkpoints.checkpoint_manager(tmp_path) as manager:
        checkpoints.save(manager, carry, step=5)
    found = restored(tmp_path, *program_on(after), step=5)
    jax.tree.map(np.testing.assert_array_equal, jax.device_get(found), jax.device_get(carry))
    assert {len(leaf.sharding.device_set) for leaf in jax.tree.leaves(found)} == {after}
    assert jax.tree.structure(found) == jax.tree.structure(carry)


def test_the_latest_two_are_kept_and_found_without_opening_anything(tmp_path):
    assert checkpoints.latest_step(tmp_path / "none") is None
    with checkpoints.checkpoint_manager(tmp_path) as manager:
        for step in (3, 6, 9, 9):
            checkpoints.save(manager, SMALL, step=step)
    assert sorted(int(p.name) for p in tmp_path.iterdir() if p.name.isdigit()) == [6, 9]
    assert checkpoints.latest_step(tmp_path) == 9


def test_a_checkpoint_of_other_shapes_names_the_first_array(tmp_path):
    with checkpoints.checkpoint_manager(tmp_path) as manager:
        checkpoints.save(manager, program_on(1)[0].start(), step=6)
    words = r"6' is of another version \(state/averaged/hidden_0/bias is float32\(8,\), not float32\(9,\)\)"
    with pytest.raises(UserError, match=words):
        restored(tmp_path, *program_on(1, hidden_units=9), step=6)


def test_a_best_checkpoint_is_saved_where_process_0_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(distributed, "broadcast_from_main", lambda number: 1)  # this process has measured nothing
    run = Run(keep_best="recall", evaluate_every=1)
    with keep_best(Workdir(tmp_path), run) as offer:
        offer({}, SMALL, 3)
    assert checkpoints.latest_step(Workdir(tmp_path).best) == 3


@pytest.mark.parametrize(
    ("metric", "best"),
    [("frechet_distance", 12), pytest.param("precision", 12, marks=pytest.mark.slow), ("recall", None)],
)
def test_the_best_checkpoint_is_that_of_the_best_row(tmp_path, metric, best):
    distances = {3: 5.0, 6: 2.0, 9: 4.0, 12: 1.0, 15: 3.0}
    with keep_best(Workdir(tmp_path), Run(keep_best=metric, evaluate_every=1)) as offer:
        for step, distance in distances.items():
            offer({"frechet_distance": distance, "precision": -distance}, SMALL, step)
    assert checkpoints.latest_step(Workdir(tmp_path).best) == best
