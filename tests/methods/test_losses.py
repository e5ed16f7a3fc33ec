import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from jaxgan.methods import losses

LOGITS = jnp.array([-2.0, 0.0, 3.0])


def test_losses_are_the_binary_cross_entropies_of_the_sigmoid():
    d = 1 / (1 + np.exp(-np.asarray(LOGITS, np.float64)))
    assert losses.real_loss(LOGITS) == pytest.approx(np.mean(-np.log(d)), rel=1e-6)
    assert losses.fake_loss(LOGITS) == pytest.approx(np.mean(-np.log(1 - d)), rel=1e-6)
    assert losses.non_saturating_loss(LOGITS) == pytest.approx(np.mean(-np.log(d)), rel=1e-6)


def test_an_undecided_discriminator_costs_ln_2_a_term():
    for loss in (losses.real_loss, losses.fake_loss, losses.non_saturating_loss):
        assert loss(jnp.zeros(5)) == pytest.approx(math.log(2))


@pytest.mark.parametrize("loss", [losses.real_loss, losses.fake_loss, losses.non_saturating_loss])
def test_gradients_are_right_and_stay_finite_for_logits_of_ten_thousand(loss):
    check_grads(lambda logits: loss(jnp.asarray(logits)), (LOGITS,), order=2, modes=["rev"], rtol=0.02)
    extreme = jnp.array([-1e4, 1e4])
    assert np.isfinite(loss(extreme))
    assert np.all(np.isfinite(jax.grad(loss)(extreme)))
    assert loss(extreme) == pytest.approx(5e3)
