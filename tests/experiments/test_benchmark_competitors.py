"""That what the benchmark compares is the same program, and that its operations are counted right."""

import functools
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan import config as configs
from jaxgan import methods
from jaxgan.methods import Batch
from jaxgan.nn import noise
from jaxgan.runtime import inspection
from jaxgan.runtime.program import to_unit_range

sys.path.insert(0, str(Path(__file__).parents[2] / "experiments"))

from benchmarking import flops, stock_flax

SHAPE = (28, 28, 1)
BATCH = 16
METHODS = {
    "vanilla_gan": configs.VanillaGAN(dropout_rate=0.0),
    "dcgan": configs.DCGAN(width=8),
    "wgan": configs.WGAN(width=8),
    "vae": configs.VAE(),
}
IMAGES = np.random.default_rng(0).integers(0, 256, (BATCH, *SHAPE), dtype=np.uint8)
WORD, UNIFORM, NORMAL, SHARE = 0xC0000000, 0.5, 0.6744898, 0.75  # a word, and what it is under each law


def two_steps(method: methods.Method, state) -> tuple:
    """The state after two steps in which all random words are the same, and what each records."""
    index = jnp.arange(BATCH)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(noise, "words", lambda key, index, *, count: jnp.full((BATCH, count), WORD, jnp.uint32))
        step, batch = jax.jit(method.step), Batch(to_unit_range(IMAGES), index, index)
        state, first = step(state, batch, jax.random.key(2))
        state, second = step(state, batch, jax.random.key(2))
        return state, [{name: float(value) for name, value in metrics.items()} for metrics in (first, second)]


@functools.cache
def first_two_steps(kind: str) -> tuple:
    """A state of our method, with parameters of some size; the state after two steps, and what each records."""
    method = methods.build(METHODS[kind], image_shape=SHAPE)
    state = jax.tree.map(lambda x: 2 * x if x.dtype == jnp.float32 else x, method.init(jax.random.key(1)))
    return state, *two_steps(method, state)


def in_order(kind: str, state) -> dict[str, list[np.ndarray]]:
    """The parameters of each network, layer by layer in the order of their use, in PyTorch's layout."""
    arrays = {}
    for name, (module, input_shape) in methods.networks(METHODS[kind], image_shape=SHAPE).items():
        params = state.network.params[name] if kind == "vae" else getattr(state, name).params
        layers = [params[layer.name] for layer in inspection.layers(module, input_shape, batch_size=2)]
        found = [layer[key] for layer in layers for key in ("kernel", "scale", "bias") if key in layer]
        arrays[name] = [np.transpose(x, (3, 2, 0, 1) if x.ndim == 4 else None) for x in found]
    return arrays


def make_twin(kind: str, **how: bool):
    pytest.importorskip("torch").set_num_threads(1)  # threads that spin suffer from other tests
    from imperative.twins import twin_of

    twin = twin_of(METHODS[kind], **how)
    if kind == "vanilla_gan":
        twin.discriminator.dropout.p = METHODS[kind].dropout_rate
    return twin


def a_batch():
    from imperative.training import batch, on_device

    return batch(on_device(IMAGES, "cpu"), np.arange(BATCH))


# What the tests of parity compare with noise of many values; here with one for all, since the point is `tuned`.
@pytest.mark.slow
@pytest.mark.parametrize("kind", METHODS)
def test_a_tuned_twin_with_our_parameters_and_noise_records_what_we_record(kind: str, monkeypatch: pytest.MonkeyPatch):
    torch = pytest.importorskip("torch")
    state, _, ours = first_two_steps(kind)
    twin = make_twin(kind, tuned=True)
    for name, arrays in in_order(kind, state).items():
        for parameter, array in zip(getattr(twin, name).parameters(), arrays, strict=True):
            assert parameter.shape == array.shape
            parameter.data.copy_(torch.tensor(array))
    monkeypatch.setattr(torch, "randn", lambda *shape, device: torch.full(shape, NORMAL))
    monkeypatch.setattr(torch, "rand", lambda *shape, device: torch.full(shape, SHARE))
    monkeypatch.setattr(torch.Tensor, "uniform_", lambda tensor, low, high: tensor.fill_(UNIFORM))
    for number, tolerance in enumerate((1e-3, 1e-2)):  # Adam's first update is a sign, which rounding may turn
        theirs = {name: value.item() for name, value in twin.train_step(a_batch(), number).items()}
        assert theirs == pytest.approx(ours[number], rel=tolerance, abs=tolerance / 10)


@pytest.mark.parametrize("tuned", [False, True])
@pytest.mark.parametrize("kind", METHODS)
def test_a_twin_trains_every_parameter_and_the_generator_of_a_wgan_every_fifth_step(kind: str, tuned: bool):
    torch = pytest.importorskip("torch")
    twin = make_twin(kind, tuned=tuned)
    for number in range(5):
        before = {name: p.clone() for name, p in twin.named_parameters()}
        twin.train_step(a_batch(), number)
        for name, parameter in twin.named_parameters():
            rests = kind == "wgan" and name.startswith("generator") and number < 4
            assert torch.equal(parameter, before[name]) == rests
            assert parameter.requires_grad


@pytest.mark.slow
def test_stock_layers_with_our_parameters_record_what_ours_do():
    state, ours_after, expected = first_two_steps("dcgan")
    stock = stock_flax.dcgan(METHODS["dcgan"], image_shape=SHAPE)
    stock_after, found = two_steps(stock, state)
    assert found[0] == pytest.approx(expected[0], rel=1e-3)
    assert jax.tree.structure(ours_after) == jax.tree.structure(stock_after)
    means = [jax.tree.leaves(after.generator.batch_stats)[0] for after in (ours_after, stock_after)]
    np.testing.assert_allclose(*means, rtol=1e-2, atol=1e-3)


def counted_by_xla(method: configs.Method) -> float:
    """The operations of a step as it is written, before XLA optimizes it, which takes long."""
    built, index = methods.build(method, image_shape=SHAPE), jax.ShapeDtypeStruct((64,), jnp.int32)
    key = jax.eval_shape(jax.random.key, 0)
    batch = Batch(jax.ShapeDtypeStruct((64, *SHAPE), jnp.float32), index, index)
    traced = jax.jit(built.step).trace(jax.eval_shape(built.init, key), batch, key)
    return traced.lower(lowering_platforms=("tpu",)).cost_analysis()["flops"]  # on CPU tiles have margins


@pytest.mark.parametrize(
    ("method", "count"),
    [
        (configs.VanillaGAN(), flops.vanilla_gan),
        (configs.VanillaGAN(hidden_layers=2, hidden_units=400), flops.vanilla_gan),
        (configs.VAE(), flops.vae),
        (configs.VAE(hidden_layers=2), flops.vae),
    ],
)
def test_the_counted_products_are_nearly_all_that_xla_counts(method: configs.Method, count):
    counted, by_xla = count(method, image_shape=SHAPE, batch_size=64), counted_by_xla(method)
    assert counted == pytest.approx(by_xla, rel=0.06)
    assert counted < by_xla


@pytest.mark.parametrize(
    ("method", "count"),
    [
        (configs.DCGAN(), flops.dcgan),
        (configs.WGAN(critic_steps=1), flops.wgan),  # XLA counts what happens every fifth step as if in each
        (configs.WGAN(critic_steps=1, critic_norm="none"), flops.wgan),
        (configs.WGAN(critic_steps=1, constraint="clip"), flops.wgan),
    ],
)
def test_without_the_zeros_of_paddings_counted_convolutions_are_nearly_all_that_xla_counts(
    method: configs.Method, count, monkeypatch: pytest.MonkeyPatch
):
    def within(image_shape, *, width: int, features: int) -> list[int]:
        # Of 14 windows of 4 pixels at stride 2 two have one pixel in the padding, on each axis; likewise further down.
        return [54**2 * width, 26**2 * width * 2 * width, 10**2 * 2 * width * 4 * width, 4**2 * 4 * width * features]

    monkeypatch.setattr(flops, "convolutional", within)
    counted, by_xla = count(method, image_shape=SHAPE, batch_size=64), counted_by_xla(method)
    assert counted == pytest.approx(by_xla, rel=0.06)
    assert counted < by_xla


def test_the_operations_of_the_chapters_dcgan_are_those_counted_by_hand():
    layers = [14 * 14 * 4 * 4 * 32, 7 * 7 * 4 * 4 * 32 * 64, 4 * 4 * 3 * 3 * 64 * 128, 4 * 4 * 128]
    assert flops.convolutional(SHAPE, width=32, features=1) == layers
    latent = 4 * 4 * 128 * 100
    d, g = sum(layers), sum(layers[:3]) + latent
    # Images for the discriminator, its update on two batches; the generator's, through it: 4.49 GFLOP.
    macs = g + 2 * (3 * d - layers[0]) + g + 2 * d + 2 * g - latent
    assert flops.dcgan(configs.DCGAN(), image_shape=SHAPE, batch_size=64) == 2 * 64 * macs == 4_487_380_992
