import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from jaxgan.methods import losses

REAL, FAKE = jnp.array([-2.0, 0.0, 3.0]), jnp.array([1.0, -0.5, 0.25])
GAMES = [
    losses.non_saturating,
    losses.minimax,
    losses.least_squares,
    losses.hinge,
    losses.relativistic,
    losses.wasserstein,
]


def in_words(name, real, fake):
    """Each game's terms and the generator's loss as its paper writes them, from probabilities, in float64."""
    r, f = np.asarray(real, np.float64), np.asarray(fake, np.float64)
    dr, df = 1 / (1 + np.exp(-r)), 1 / (1 + np.exp(-f))
    pair = 1 / (1 + np.exp(-(r - f)))
    return {
        "non_saturating": ({"real": -np.log(dr), "fake": -np.log(1 - df)}, -np.log(df)),
        "minimax": ({"real": -np.log(dr), "fake": -np.log(1 - df)}, np.log(1 - df)),
        "least_squares": ({"real": (r - 1) ** 2 / 2, "fake": f**2 / 2}, (f - 1) ** 2 / 2),
        "hinge": ({"real": np.maximum(0, 1 - r), "fake": np.maximum(0, 1 + f)}, -f),
        "relativistic": ({"pair": -np.log(pair)}, -np.log(1 - pair)),
        "wasserstein": ({"real": -r, "fake": f}, -f),
    }[name]


@pytest.mark.parametrize("game", GAMES)
def test_a_game_is_what_its_paper_writes(game):
    terms, generator = in_words(game.__name__, REAL, FAKE)
    found = game().discriminator(REAL, FAKE)
    assert {name: float(value) for name, value in found.items()} == pytest.approx(
        {name: value.mean() for name, value in terms.items()}, rel=1e-6
    )
    assert game().generator(REAL, FAKE) == pytest.approx(generator.mean(), rel=1e-6)


def test_literal_values():
    # softplus(2) = 2.126928, ln 2, softplus(-3) = 0.048587; softplus(1), softplus(-0.5), softplus(0.25).
    d = losses.non_saturating().discriminator(REAL, FAKE)
    assert [float(d["real"]), float(d["fake"])] == pytest.approx([0.9562208, 0.8710926], rel=1e-6)
    assert losses.least_squares().discriminator(REAL, FAKE)["real"] == pytest.approx((9 + 1 + 4) / 6)
    assert losses.hinge().discriminator(REAL, FAKE)["real"] == pytest.approx((3 + 1 + 0) / 3)
    assert losses.hinge().discriminator(REAL, FAKE)["fake"] == pytest.approx((2 + 0.5 + 1.25) / 3)
    assert losses.wasserstein().metrics(REAL, FAKE)["wasserstein_estimate"] == pytest.approx(1 / 3 - 0.25)


def test_an_undecided_discriminator_costs_ln_2_a_term():
    nought = jnp.zeros(5)
    for loss in (losses.real_loss, losses.fake_loss):
        assert loss(nought) == pytest.approx(math.log(2))
    assert losses.minimax().generator(nought, nought) == pytest.approx(-math.log(2))
    assert losses.relativistic().discriminator(nought, nought)["pair"] == pytest.approx(math.log(2))


@pytest.mark.parametrize("game", GAMES)
def test_gradients_are_right_and_stay_finite_for_logits_of_ten_thousand(game):
    def total(real, fake):
        return sum(game().discriminator(real, fake).values()), game().generator(real, fake)

    check_grads(lambda r, f: total(jnp.asarray(r), jnp.asarray(f)), (REAL, FAKE), order=2, modes=["rev"], rtol=0.02)
    extreme = jnp.array([-1e4, 1e4, 1e4, -1e4]), jnp.array([1e4, -1e4, 1e4, -1e4])
    assert np.all(np.isfinite(total(*extreme)))
    for i in range(2):
        assert all(np.all(np.isfinite(g)) for g in jax.grad(lambda r, f, i=i: total(r, f)[i], (0, 1))(*extreme))
    assert all(np.isfinite(v) for v in game().metrics(*extreme).values())


def test_the_generator_s_loss_needs_real_logits_only_where_it_says_so():
    for game in GAMES:
        if not game().paired:
            assert game().generator(None, FAKE) == game().generator(REAL, FAKE)
    assert [game.__name__ for game in GAMES if game().paired] == ["relativistic"]


def test_every_generator_loss_falls_as_its_images_are_taken_for_more_real():
    for game in GAMES:
        slope = jax.grad(game().generator, argnums=1)(REAL, FAKE - 2)
        assert np.all(np.asarray(slope) < 0), game.__name__
