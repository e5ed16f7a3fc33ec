"""Stacked images: which parts come together, under which label, and that a run sees them so."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct

from jaxgan import cli, data
from jaxgan.data import stacking
from jaxgan.data.catalog import find
from jaxgan.data.order import epoch_order
from jaxgan.errors import UserError
from jaxgan.methods import Method
from jaxgan.runtime.devices import place, replicated
from jaxgan.runtime.feeding import feed
from jaxgan.runtime.program import Inputs, compile_program, examples
from jaxgan.runtime.schedule import Schedule

SPEC = dataclasses.replace(find("stacked_mnist"), image_shape=(6, 5, 3))


@pytest.fixture
def parts(toy_dataset):
    return stacking.in_parts(SPEC, toy_dataset)


def test_an_epoch_sees_each_part_once_in_each_channel_in_three_unlike_orders(parts):
    rows = stacking.stacked_order(parts, seed=1, epoch=2)
    assert rows.shape == (3, 70)
    assert all(sorted(row) == list(range(70)) for row in rows)
    np.testing.assert_array_equal(rows[0], epoch_order(70, seed=1, epoch=2))
    later = stacking.stacked_order(parts, seed=1, epoch=3)
    every = [*rows, *later]
    assert max(np.mean(every[i] == every[j]) for i in range(6) for j in range(i)) < 0.1


def test_images_that_are_not_stacked_have_one_order_and_keep_it(toy_dataset):
    order = stacking.stacked_order(toy_dataset, seed=1, epoch=2)
    np.testing.assert_array_equal(order, epoch_order(70, seed=1, epoch=2))


def test_the_labels_of_the_channels_are_the_digits_of_the_label():
    assert stacking.together([3, 0, 7]) == 307
    assert SPEC.class_names[307] == "307"


def test_held_out_images_are_whole_and_hold_in_each_channel_a_part_whose_label_is_that_digit(parts):
    whole = stacking.put_together(parts)
    assert (whole.images.shape, whole.stacked, whole.image_shape) == ((70, 6, 5, 3), 1, (6, 5, 3))
    known = {image.tobytes(): label for image, label in zip(parts.images, parts.labels, strict=True)}
    for image, label in zip(whole.images, whole.labels, strict=True):
        assert [known[image[..., c : c + 1].tobytes()] for c in range(3)] == [int(d) for d in f"{label:03d}"]
    np.testing.assert_array_equal(whole.images, stacking.put_together(parts).images)


def test_the_compiled_program_stacks_on_the_device_what_the_order_says(parts):
    order = stacking.stacked_order(parts, seed=0, epoch=0)
    inputs = Inputs(jnp.asarray(parts.images), jnp.asarray(parts.labels), jnp.asarray(order), jnp.uint32(0), 1)
    images, labels = jax.jit(examples, static_argnums=2)(inputs, 20, 20)
    for i, rows in enumerate(order[:, 20:40].T):
        np.testing.assert_array_equal(images[i], np.concatenate(parts.images[rows], axis=-1))
        assert labels[i] == int("".join(str(label) for label in parts.labels[rows]))


@struct.dataclass
class Counted:
    step: jax.Array


@pytest.mark.parametrize("count", [1, 2])
def test_each_step_of_a_run_gets_its_batch_whole_on_however_many_devices(count, parts, toy_config):
    def build(axis_name):
        def step(state, batch, key):
            found = {"label": batch.labels.astype(jnp.float32), "pixel": batch.images[:, 2, 3, 1]}
            means = {name: jnp.mean(values) for name, values in found.items()}
            return Counted(state.step + 1), means if axis_name is None else jax.lax.pmean(means, axis_name)

        return Method(lambda key: Counted(jnp.zeros((), jnp.int32)), step, None)

    devices = jax.devices()[:count]
    program = compile_program(build, devices, image_shape=parts.image_shape, batch_size=20)
    seed, schedule = place(np.uint32(0), replicated(devices)), Schedule(3, toy_config.run)
    carry = program.init(seed)
    with feed(parts, devices, schedule=schedule, step=0) as images_for:
        for step in range(4):  # three batches of an epoch, and the first of the next
            images, labels, order, _ = images_for(step)
            carry = program.advance(carry, Inputs(images, labels, order, seed, np.int32(step + 1)))
            rows = stacking.stacked_order(parts, seed=0, epoch=step // 3)[:, step % 3 * 20 :][:, :20]
            label = np.mean(stacking.together(parts.labels[rows]))
            pixel = np.mean(parts.images[rows[1], 2, 3, 0] / 127.5 - 1)
            found = {name: float(value) for name, value in carry.sums.items()}
            assert found == pytest.approx({"label": label, "pixel": pixel}, rel=1e-5)
            carry = program.forget(carry)


@pytest.mark.slow
def test_mnist_is_stacked_without_a_copy_and_cannot_be_streamed_or_shown(mnist_dir, capsys):
    train, test = (data.load("stacked_mnist", split=split, data_dir=mnist_dir) for split in ("train", "test"))
    assert (train.size, train.image_shape, train.images.shape[1:]) == (60_000, (28, 28, 3), (28, 28, 1))
    assert isinstance(train.images.base, np.memmap) or isinstance(train.images, np.memmap)
    assert test.images.shape == (10_000, 28, 28, 3)
    assert len(np.unique(test.labels)) == 1000
    with pytest.raises(UserError, match="--input: 'stream' is not for stacked_mnist"):
        data.stream("stacked_mnist", data_dir=mnist_dir)
    with pytest.raises(SystemExit):
        cli.main(["data", "show", "stacked_mnist", "--data-dir", str(mnist_dir)])
    assert "choose 'mnist', which it is made of" in capsys.readouterr().err
