"""The programs that the benchmark compares do the same work."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from imperative.parity import Setting, imperative
from studies.speed import stock_flax

from jaxgan import methods
from jaxgan.methods import Batch
from jaxgan.methods.dcgan import DCGAN
from jaxgan.methods.vae import VAE
from jaxgan.methods.vanilla_gan import VanillaGAN
from jaxgan.methods.wgan import WGAN
from jaxgan.runtime.program import to_unit_range

SHAPE = (28, 28, 1)
BATCH = 8
METHODS = {
    "vanilla_gan": VanillaGAN(latent_size=4, hidden_units=8),
    "dcgan": DCGAN(latent_size=4, width=4),
    "wgan": WGAN(latent_size=4, width=4),
    "vae": VAE(latent_size=3, hidden_units=8, ema_decay=0.0),
}
IMAGES = np.random.default_rng(0).integers(0, 256, (BATCH, *SHAPE), dtype=np.uint8)


@pytest.fixture
def twin_of():
    pytest.importorskip("torch").set_num_threads(1)  # threads that spin suffer from other tests
    from imperative.twins import twin_of

    return twin_of


@pytest.mark.exhaustive
@pytest.mark.parametrize("kind", METHODS)
def test_tuned_twin_records_what_the_plain_twin_records(kind, twin_of, monkeypatch):
    from imperative import injection

    plain = twin_of(METHODS[kind]).state_dict()
    weights = {name: x.numpy() for name, x in plain.items() if not name.endswith("num_batches_tracked")}
    setting = Setting(METHODS[kind], lambda step: IMAGES, steps=5, weights=weights)
    expected = imperative(setting)
    monkeypatch.setattr(injection, "twin_of", partial(twin_of, tuned=True))
    found = imperative(setting)
    for name, curve in expected.metrics.items():
        np.testing.assert_allclose(found.metrics[name], curve, rtol=1e-9, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("tuned", [False, True])
@pytest.mark.parametrize("kind", METHODS)
def test_twin_trains_every_parameter_but_a_generator_every_fifth_step(kind, tuned, twin_of):
    import torch
    from imperative.training import batch, on_device

    twin, images = twin_of(METHODS[kind], tuned=tuned), batch(on_device(IMAGES, "cpu"), np.arange(BATCH))
    for number in range(5):
        before = {name: p.clone() for name, p in twin.named_parameters()}
        twin.train_step(images, number)
        for name, parameter in twin.named_parameters():
            rests = kind == "wgan" and name.startswith("generator") and number < 4
            assert torch.equal(parameter, before[name]) == rests
            assert parameter.requires_grad


@pytest.mark.exhaustive
def test_stock_layers_with_our_parameters_record_what_ours_do():
    ours, index = methods.build(METHODS["dcgan"], image_shape=SHAPE), jnp.arange(BATCH)
    stock = stock_flax.dcgan(METHODS["dcgan"], image_shape=SHAPE)
    state, batch = ours.init(jax.random.key(1)), Batch(to_unit_range(IMAGES), index, index)
    (ours_after, expected), (stock_after, found) = (
        jax.jit(method.step)(state, batch, jax.random.key(2)) for method in (ours, stock)
    )
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert float(found[name]) == pytest.approx(float(value), rel=1e-3), name
    assert jax.tree.structure(ours_after) == jax.tree.structure(stock_after)
    means = [jax.tree.leaves(after.generator.batch_stats)[0] for after in (ours_after, stock_after)]
    np.testing.assert_allclose(*means, rtol=1e-2, atol=1e-3)
