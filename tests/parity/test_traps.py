"""The known traps between PyTorch and Flax, each put back on our side: the comparison with the record then fails."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import pytest
from benchmarking import stock_flax
from imperative.parity import arithmetic, draws, functional, initial_state
from jax import lax

from jaxgan import interop
from jaxgan.methods import Batch, build, gan, losses, networks
from jaxgan.nn import convolution_layers, convolutional, normalization
from jaxgan.nn.convolution import Geometry, transposed_convolution
from tests.parity import record
from tests.parity.agreement import assert_agree, assert_as_recorded

FORWARD = ("discriminator_loss_real", "discriminator_loss_fake")


def built(kind, **changes):
    return build(replace(record.CONFIGS[kind], **changes), image_shape=record.digits(kind).shape[1:])


def assert_first_passes_as_recorded(kind, method):
    """Compares what the first step computes before any gradient, which is compiled in a moment."""
    weights, recorded = record.read(kind)
    setting = record.setting(kind, weights=weights)
    images = jnp.asarray(setting.images(0))

    def passes(state, batch, key):
        state, metrics = method.step(state, batch, key)
        stats = {"generator": state.generator.batch_stats, "discriminator": state.discriminator.batch_stats}
        return {name: metrics[name] for name in FORWARD}, stats

    index = jnp.arange(len(images))
    batch = Batch(images, index, index)
    ours, stats = jax.jit(passes)(initial_state(setting, method), batch, setting.key(0))
    ours |= {f"weight/{name}": x for name, x in interop.state_dict({}, stats).items()}
    theirs = {name: recorded.metrics[name][0] for name in FORWARD}
    theirs |= {name: x for name, x in recorded.looks[1].items() if "running" in name}
    assert_agree(ours, theirs, tolerance=1e-9)


@pytest.fixture(autouse=True)
def double_precision():
    with arithmetic("float64"):
        yield


@pytest.mark.parametrize("kind", ["dcgan", "wgan"])
def test_without_a_trap_the_first_passes_are_those_recorded(kind):
    assert_first_passes_as_recorded(kind, built(kind))


def same_padding(y, w, *, strides, padding, output_padding):
    """What ``nn.ConvTranspose(padding="SAME")`` computes, cut to the size that the next layer needs: 8 to 7."""
    height, width = Geometry(w.shape[:2], strides, padding).up(y.shape[1:3])
    return lax.conv_transpose(y, w, strides, "SAME", transpose_kernel=True)[:, :height, :width]


def not_flipped(y, w, **geometry):
    return transposed_convolution(y, lax.rev(w, (0, 1)), **geometry)


@pytest.mark.parametrize("geometry", [same_padding, not_flipped])
def test_trap_geometry_of_the_layer_from_4_to_7(geometry, monkeypatch):
    of_that_layer = lambda y, w, **how: (geometry if y.shape[1] == 4 else transposed_convolution)(y, w, **how)
    monkeypatch.setattr(convolution_layers, "transposed_convolution", of_that_layer)
    with pytest.raises(AssertionError, match=r"generator\.norm_2\.running_mean"):
        assert_first_passes_as_recorded("dcgan", built("dcgan"))


def test_trap_momentum_as_the_weight_of_what_was(monkeypatch):
    monkeypatch.setattr(convolutional, "BatchNorm", partial(normalization.BatchNorm, momentum=0.9))
    with pytest.raises(AssertionError, match=r"running_mean.* 10 in all"):
        assert_first_passes_as_recorded("dcgan", built("dcgan"))


def test_trap_biased_running_variance():
    stock = stock_flax.dcgan(record.CONFIGS["dcgan"], image_shape=(28, 28, 1))
    with pytest.raises(AssertionError, match=r"running_var.* 5 in all"):  # of three layers and two, and nothing else
        assert_first_passes_as_recorded("dcgan", stock)


def test_trap_slope_of_leaky_relu():
    with pytest.raises(AssertionError, match="further apart"):
        assert_first_passes_as_recorded("dcgan", built("dcgan", negative_slope=0.01))  # PyTorch's, where none is given


@pytest.mark.parametrize("kind", ["dcgan", "wgan"])
def test_trap_epsilon_of_normalization(kind, monkeypatch):
    monkeypatch.setattr(normalization, "EPSILON", 1e-6)  # Flax's, for all but batch normalization
    with pytest.raises(AssertionError, match="further apart"):
        assert_first_passes_as_recorded(kind, built(kind))


def test_trap_statistics_of_the_generator_follow_the_discriminators_update():
    method = built("dcgan")
    (generator, _), _ = networks(record.CONFIGS["dcgan"], image_shape=(28, 28, 1)).values()

    def step(state, batch, key):
        latents, _ = draws(record.CONFIGS["dcgan"], key, count=record.BATCH).latents
        moved = follow(generator, state.generator, latents, train=True)
        return method.step(state.replace(generator=moved), batch, key)

    with pytest.raises(AssertionError, match=r"generator\.norm_\d\.running.* 6 in all"):
        assert_first_passes_as_recorded("dcgan", method._replace(step=step))


def test_trap_statistics_of_the_discriminator_follow_the_generators_update():
    method = built("dcgan")
    (generator, _), (discriminator, _) = networks(record.CONFIGS["dcgan"], image_shape=(28, 28, 1)).values()

    def step(state, batch, key):
        _, latents = draws(record.CONFIGS["dcgan"], key, count=record.BATCH).latents
        after, metrics = method.step(state, batch, key)
        images = generator.apply({"params": state.generator.params}, latents, train=True, mutable=["batch_stats"])[0]
        moved = follow(discriminator, after.discriminator, images, jnp.zeros((record.BATCH, 0), jnp.uint32))
        return after.replace(discriminator=moved), metrics

    with pytest.raises(AssertionError, match=r"discriminator\.norm_\d\.running.* 4 in all"):
        assert_first_passes_as_recorded("dcgan", method._replace(step=step))


def follow(module, network, *inputs, **how):
    variables = {"params": network.params, "batch_stats": network.batch_stats}
    return network.replace(
        batch_stats=module.apply(variables, *inputs, **how, mutable=["batch_stats"])[1]["batch_stats"]
    )


def assert_whole_way_as_recorded(kind, method):
    weights, recorded = record.read(kind)
    assert_as_recorded(functional(record.setting(kind, weights=weights), method=method), recorded)


def test_trap_labels_in_the_wrong_order(monkeypatch):
    swapped = lambda real, fake: {"real": losses.fake_loss(real), "fake": losses.real_loss(fake)}
    monkeypatch.setattr(losses, "_cross_entropies", swapped)
    with pytest.raises(AssertionError, match="discriminator_loss_real"):
        assert_whole_way_as_recorded("vanilla_gan", built("vanilla_gan"))


def test_trap_slope_of_leaky_relu_in_dense_layers():
    with pytest.raises(AssertionError, match="in step 0"):
        assert_whole_way_as_recorded("vanilla_gan", built("vanilla_gan", negative_slope=0.2))


def test_trap_generator_that_the_discriminators_loss_reaches(monkeypatch):
    """As in PyTorch without ``detach()``: the gradient of both losses lies before the generator's optimizer."""
    method, update = built("vanilla_gan"), gan._update

    def step(state, batch, key):
        def discriminator_loss(params):
            generator = state.generator.replace(params=params)
            return method.step(state.replace(generator=generator), batch, key)[1]["discriminator_loss"]

        leaked = jax.grad(discriminator_loss)(state.generator.params)

        def undetached(network, gradients, recorded, optimizer):
            if jax.tree.structure(gradients) == jax.tree.structure(leaked):
                gradients = jax.tree.map(jnp.add, gradients, leaked)
            return update(network, gradients, recorded, optimizer)

        with monkeypatch.context() as patch:
            patch.setattr(gan, "_update", undetached)
            return method.step(state, batch, key)

    weights, recorded = record.read("vanilla_gan")
    ours = functional(record.setting("vanilla_gan", weights=weights), method=method._replace(step=step))
    with pytest.raises(AssertionError, match=r"gradient/generator.* 4 in all"):
        assert_agree(gradients(ours), gradients(recorded), tolerance=1e-9)


def gradients(trajectory):
    return {name: x for name, x in trajectory.looks[1].items() if name.startswith("gradient/")}
