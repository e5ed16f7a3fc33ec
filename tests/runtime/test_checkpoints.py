import jax
import numpy as np
import pytest

from jaxgan.config import VanillaGAN
from jaxgan.errors import UserError
from jaxgan.methods import build
from jaxgan.runtime import checkpoints
from jaxgan.runtime.devices import replicated
from jaxgan.runtime.program import Inputs, compile_program

SHAPE = (6, 5, 1)


def program_on(count, *, hidden_units=8):
    devices = jax.devices()[:count]
    config = VanillaGAN(latent_size=3, hidden_units=hidden_units, ema_decay=0.9)
    program = compile_program(
        lambda axis: build(config, image_shape=SHAPE, axis_name=axis), devices, image_shape=SHAPE, batch_size=8
    )
    return program, replicated(devices)


def seed(sharding):
    return jax.device_put(np.uint32(0), sharding)


def test_a_checkpoint_holds_what_was_saved_although_training_goes_on_in_the_same_memory(tmp_path):
    program, everywhere = program_on(1)
    images = np.random.default_rng(0).integers(0, 256, (80, *SHAPE), dtype=np.uint8)
    resident = jax.device_put((images, np.zeros(80, np.int32), np.arange(80, dtype=np.int32), np.uint32(0)), everywhere)
    carry = program.init(resident[3])
    with checkpoints.checkpoint_manager(tmp_path) as manager:
        expected = jax.tree.map(np.array, jax.device_get(carry))
        checkpoints.save(manager, carry, step=0)
        program.advance(carry, Inputs(*resident, np.int32(10)))
    with checkpoints.checkpoint_manager(tmp_path) as manager:
        abstract = jax.eval_shape(program.init, resident[3])
        restored = checkpoints.restore(manager, abstract, step=0, sharding=everywhere)
    jax.tree.map(np.testing.assert_array_equal, jax.device_get(restored), expected)


@pytest.mark.parametrize(("before", "after"), [(8, 1), (1, 8), (2, 4)])
def test_a_checkpoint_of_some_devices_is_restored_to_the_bit_on_others(tmp_path, before, after):
    program, everywhere = program_on(before)
    carry = program.init(seed(everywhere))
    with checkpoints.checkpoint_manager(tmp_path) as manager:
        checkpoints.save(manager, carry, step=5)
    other, elsewhere = program_on(after)
    with checkpoints.checkpoint_manager(tmp_path) as manager:
        abstract = jax.eval_shape(other.init, seed(elsewhere))
        restored = checkpoints.restore(manager, abstract, step=5, sharding=elsewhere)
    jax.tree.map(np.testing.assert_array_equal, jax.device_get(restored), jax.device_get(carry))
    assert {len(leaf.sharding.device_set) for leaf in jax.tree.leaves(restored)} == {after}
    assert jax.tree.structure(restored) == jax.tree.structure(carry)


def test_the_latest_two_are_kept_and_found_without_opening_anything(tmp_path):
    program, everywhere = program_on(1)
    assert checkpoints.latest_step(tmp_path / "none") is None
    with checkpoints.checkpoint_manager(tmp_path) as manager:
        for step in (3, 6, 9, 9):
            checkpoints.save(manager, program.init(seed(everywhere)), step=step)
    assert sorted(int(p.name) for p in tmp_path.iterdir() if p.name.isdigit()) == [6, 9]
    assert checkpoints.latest_step(tmp_path) == 9


@pytest.mark.parametrize("damage", ["truncate", "remove", "other shapes"])
def test_a_damaged_checkpoint_is_refused_in_one_line_that_names_it(tmp_path, damage):
    program, everywhere = program_on(1)
    with checkpoints.checkpoint_manager(tmp_path) as manager:
        for step in (3, 6):
            checkpoints.save(manager, program.init(seed(everywhere)), step=step)
    files = [p for p in (tmp_path / "6").rglob("*") if p.is_file()]
    for path in files:
        if damage == "truncate":
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        elif damage == "remove":
            path.unlink()
    program, everywhere = program_on(1, hidden_units=9 if damage == "other shapes" else 8)
    abstract = jax.eval_shape(program.init, seed(everywhere))
    with checkpoints.checkpoint_manager(tmp_path) as manager, pytest.raises(UserError) as error:
        checkpoints.restore(manager, abstract, step=6, sharding=everywhere)
    assert str(tmp_path / "6") in str(error.value)
    assert "delete it to go on from step 3" in str(error.value)
    assert "\n" not in str(error.value)
