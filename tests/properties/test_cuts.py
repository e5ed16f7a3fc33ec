"""How a run is cut into calls of the program changes none of its bits."""

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxgan.methods.vanilla_gan import VanillaGAN
from tests.programs import stepper

STEPS = 12


@pytest.fixture(scope="module")
def advance():
    """From the steps at which calls end to the carry after the last."""
    config = VanillaGAN(latent_size=3, hidden_units=8, ema_decay=0.9)
    made = stepper(config, image_shape=(6, 5, 1), batch_size=8, steps=STEPS)

    def to_the_end(stops):
        carry = made.start()
        for stop in stops:
            carry = made.advance(carry, stop=stop)
        return jax.device_get(carry)

    return to_the_end


@given(cuts=st.sets(st.integers(1, STEPS - 1)))
@settings(max_examples=15)
def test_state_and_metric_sums_are_the_same_bits_for_any_cuts(advance, cuts):
    jax.tree.map(np.testing.assert_array_equal, advance([*sorted(cuts), STEPS]), advance([STEPS]))


def test_metric_sums_continue_from_call_to_call(advance):
    assert int(advance([5]).count) == 5
    assert int(advance([5, STEPS]).count) == STEPS
