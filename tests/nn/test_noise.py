import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxgan.nn import noise

KEY = jax.random.key(7)


@given(index=st.lists(st.integers(0, 2**31 - 1), min_size=16, max_size=16))
def test_random_bits_of_an_example_do_not_depend_on_the_others(index):
    words = jax.jit(noise.random_bits, static_argnames="count")
    together = words(KEY, jnp.array(index), count=5)
    alone = jnp.concatenate([words(KEY, jnp.array([i]), count=5) for i in index[:3]])
    np.testing.assert_array_equal(together[:3], alone)


def test_random_bits_differ_between_examples_places_and_keys():
    words = np.asarray(noise.random_bits(KEY, jnp.arange(500), count=40))
    others = np.asarray(noise.random_bits(jax.random.key(8), jnp.arange(500), count=40))
    assert len(np.unique(words)) > 0.999 * words.size
    assert np.mean(words == others) < 0.001


def test_uniform_fills_minus_one_to_one_evenly():
    u = np.asarray(noise.uniform(noise.random_bits(KEY, jnp.arange(4000), count=50)))
    assert u.min() >= -1
    assert u.max() < 1
    assert abs(u.mean()) < 0.005
    assert u.var() == pytest.approx(1 / 3, rel=0.01)
    np.testing.assert_allclose(np.histogram(u, 10, (-1, 1))[0] / u.size, 0.1, rtol=0.03)


def test_uniform_reaches_its_ends_and_normal_stays_finite_there():
    ends = jnp.array([0, 2**32 - 1], jnp.uint32)
    np.testing.assert_allclose(noise.uniform(ends), [-1, 1], atol=1e-6)
    assert np.all(np.isfinite(noise.normal(ends)))


def test_normal_has_the_moments_of_the_normal_distribution():
    n = np.asarray(noise.normal(noise.random_bits(KEY, jnp.arange(4000), count=50)), np.float64)
    assert abs(n.mean()) < 0.01
    assert n.var() == pytest.approx(1, rel=0.01)
    assert np.mean(n**4) == pytest.approx(3, rel=0.03)


@pytest.mark.parametrize("rate", [0.5, 0.25, 0.3, 0.9, 1 / 3])
def test_the_mask_drops_units_independently_at_the_rate(rate):
    units = 50
    bits = noise.random_bits(KEY, jnp.arange(4000), count=noise.mask_words(units, rate=rate))
    keep = np.asarray(noise.keep_mask(bits, units, rate=rate))
    assert keep.shape == (4000, units)
    assert 1 - keep.mean() == pytest.approx(rate, abs=0.005)
    np.testing.assert_allclose(1 - keep.mean(axis=0), rate, atol=0.04)
    assert np.abs(np.corrcoef(keep.T) - np.eye(units)).max() < 0.09  # units are dropped independently


def test_one_word_decides_32_units_at_rate_one_half():
    assert noise.mask_words(100, rate=0.5) == 4
    assert noise.mask_words(100, rate=0.25) == 7
    assert noise.mask_words(100, rate=0.3) == 100
    assert noise.mask_words(100, rate=0.0) == 0


def test_a_mixture_chooses_clusters_evenly_and_is_uniform_beside():
    z = np.asarray(noise.mixture(noise.random_bits(KEY, jnp.arange(4000), count=40)))
    assert z.shape == (4000, 40)
    cluster, rest = z[:, :10], z[:, 10:]
    np.testing.assert_allclose(np.unique(cluster), [0, 10**0.5], rtol=1e-6)
    np.testing.assert_array_equal(np.count_nonzero(cluster, axis=1), 1)
    np.testing.assert_allclose(np.count_nonzero(cluster, axis=0) / 4000, 1 / 10, rtol=0.2)
    assert rest.mean() == pytest.approx(0, abs=0.02)
    assert rest.std() == pytest.approx(1, abs=0.02)
    assert np.abs(rest).max() <= 3**0.5
    assert np.abs(np.corrcoef(cluster.argmax(axis=1), rest[:, 0])[0, 1]) < 0.06


@pytest.mark.parametrize("prior", noise.PRIORS.values(), ids=lambda prior: prior.name)
def test_truncation_shrinks_all_latents_but_the_choice_of_cluster(prior):
    latents = prior.draw(noise.random_bits(KEY, jnp.arange(50), count=30))
    truncated = noise.truncate(latents, prior, 0.75)
    np.testing.assert_array_equal(truncated[:, : prior.fixed], latents[:, : prior.fixed])
    np.testing.assert_allclose(truncated[:, prior.fixed :], 0.75 * latents[:, prior.fixed :], rtol=1e-6)
    np.testing.assert_array_equal(noise.truncate(latents, prior, 1.0), latents)


def test_named_bits_are_the_columns_of_one_draw_in_order():
    counts = {"latents": 3, "dropout": 0, "pixels": 2}
    named = noise.named_bits(KEY, jnp.arange(4), counts)
    assert {name: bits.shape for name, bits in named.items()} == {name: (4, count) for name, count in counts.items()}
    together = jnp.concatenate([named[name] for name in counts], axis=1)
    np.testing.assert_array_equal(together, noise.random_bits(KEY, jnp.arange(4), count=5))
