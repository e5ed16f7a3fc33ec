"""How a run is cut into calls of the program changes none of its bits."""

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxgan.config import VanillaGAN
from jaxgan.methods import build
from jaxgan.runtime.devices import replicated
from jaxgan.runtime.program import Inputs, compile_program, to_bytes, to_unit_range

SHAPE, BATCH, STEPS = (6, 5, 1), 8, 12


@pytest.fixture(scope="module")
def advance():
    devices = jax.devices()[:1]
    program = compile_program(
        lambda axis: build(VanillaGAN(latent_size=3, hidden_units=8), image_shape=SHAPE, axis_name=axis),
        devices,
        image_shape=SHAPE,
        batch_size=BATCH,
    )
    images = np.random.default_rng(0).integers(0, 256, (BATCH * STEPS, *SHAPE), dtype=np.uint8)
    labels, order = np.zeros(len(images), np.int32), np.arange(len(images), dtype=np.int32)
    resident = jax.device_put((images, labels, order, np.uint32(0)), replicated(devices))

    def to_the_end(stops):
        carry = program.init(resident[3])
        for stop in stops:
            carry = program.advance(carry, Inputs(*resident, np.int32(stop)))
        return jax.device_get(carry)

    return to_the_end


@given(cuts=st.sets(st.integers(1, STEPS - 1)))
@settings(deadline=None, max_examples=15)
def test_the_state_and_the_sums_are_the_same_bits_for_any_cuts(advance, cuts):
    jax.tree.map(np.testing.assert_array_equal, advance([*sorted(cuts), STEPS]), advance([STEPS]))


def test_sums_go_on_from_call_to_call(advance):
    assert int(advance([5]).count) == 5
    assert int(advance([5, STEPS]).count) == STEPS


def test_bytes_survive_the_way_to_the_unit_range_and_back():
    every = np.arange(256, dtype=np.uint8)
    scaled = to_unit_range(every)
    assert (float(scaled[0]), float(scaled[-1])) == (-1, 1)
    np.testing.assert_array_equal(to_bytes(scaled), every)
