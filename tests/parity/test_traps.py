"""The known traps between PyTorch and Flax, each put back on our side: the comparison with the record then fails."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import optax
import pytest
from imperative.parity import arithmetic, draws, functional, initial_state
from jax import lax
from studies.speed import stock_flax

from jaxgan import interop
from jaxgan.methods import Batch, build, gan, losses
from jaxgan.methods.optimization import adam
from jaxgan.nn import convnets, layers
from jaxgan.nn.bilinear import Geometry, transposed_convolution
from tests.parity import record
from tests.parity.agreement import assert_agree, assert_as_recorded

pytestmark = pytest.mark.slow

FORWARD = ("discriminator_loss_real", "discriminator_loss_fake")


def built(kind, **changes):
    return build(replace(record.CONFIGS[kind], **changes), image_shape=record.digits(kind).shape[1:])


def assert_first_passes_as_recorded(kind, method):
    """Compares what the first step computes before any gradient, which compiles in a moment."""
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
    theirs |= {name: x for name, x in recorded.snapshots[1].items() if "running" in name}
    assert_agree(ours, theirs, tolerance=1e-9)


@pytest.fixture(autouse=True)
def double_precision():
    with arithmetic("float64"):
        yield


@pytest.mark.parametrize("kind", ["dcgan", "wgan"])
def test_without_a_trap_the_first_passes_match_the_record(kind):
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
    monkeypatch.setattr(layers, "transposed_convolution", of_that_layer)
    with pytest.raises(AssertionError, match=r"generator\.norm_2\.running_mean"):
        assert_first_passes_as_recorded("dcgan", built("dcgan"))


def test_trap_momentum_as_the_weight_of_the_old_value(monkeypatch):
    monkeypatch.setattr(convnets, "BatchNorm", partial(layers.BatchNorm, momentum=0.9))
    with pytest.raises(AssertionError, match=r"running_mean.* 10 in all"):
        assert_first_passes_as_recorded("dcgan", built("dcgan"))


def test_trap_biased_running_variance():
    stock = stock_flax.dcgan(record.CONFIGS["dcgan"], image_shape=(28, 28, 1))
    with pytest.raises(AssertionError, match=r"running_var.* 5 in all"):  # of three layers and two, and nothing else
        assert_first_passes_as_recorded("dcgan", stock)


def test_trap_slope_of_leaky_relu():
    with pytest.raises(AssertionError, match="further apart"):
        assert_first_passes_as_recorded("dcgan", built("dcgan", negative_slope=0.01))  # PyTorch's default


@pytest.mark.parametrize("kind", ["dcgan", "wgan"])
def test_trap_epsilon_of_normalization(kind, monkeypatch):
    monkeypatch.setattr(layers, "EPSILON", 1e-6)  # Flax's, for all but batch normalization
    with pytest.raises(AssertionError, match="further apart"):
        assert_first_passes_as_recorded(kind, built(kind))


def test_trap_discriminators_update_moves_the_generators_statistics():
    method = built("dcgan")
    generator = method.networks["generator"].module

    def step(state, batch, key):
        latents, _ = draws(record.CONFIGS["dcgan"], key, count=record.BATCH).latents
        moved = with_statistics_of(generator, state.generator, latents)
        return method.step(state.replace(generator=moved), batch, key)

    with pytest.raises(AssertionError, match=r"generator\.norm_\d\.running.* 6 in all"):
        assert_first_passes_as_recorded("dcgan", method._replace(step=step))


def test_trap_generators_update_moves_the_discriminators_statistics():
    method = built("dcgan")
    generator, discriminator = (method.networks[name].module for name in ("generator", "discriminator"))

    def step(state, batch, key):
        _, latents = draws(record.CONFIGS["dcgan"], key, count=record.BATCH).latents
        after, metrics = method.step(state, batch, key)
        images = generator.apply({"params": state.generator.params}, latents, train=True, mutable=["batch_stats"])[0]
        return after.replace(discriminator=with_statistics_of(discriminator, after.discriminator, images)), metrics

    with pytest.raises(AssertionError, match=r"discriminator\.norm_\d\.running.* 4 in all"):
        assert_first_passes_as_recorded("dcgan", method._replace(step=step))


def with_statistics_of(module, network, inputs):
    _, recorded = module.apply(network.variables, inputs, train=True, mutable=["batch_stats"])
    return network.replace(batch_stats=recorded["batch_stats"])


def vanilla_gan():
    """What the method of the same name consists of."""
    networks = built("vanilla_gan").networks
    return gan.GAN(
        networks["generator"].module,
        networks["discriminator"].module,
        image_shape=networks["discriminator"].input_shape,
        latent_size=record.CONFIGS["vanilla_gan"].latent_size,
        generator_optimizer=adam(1e-3),
        discriminator_optimizer=adam(1e-3),
    )


def trained(step):
    """Trains the vanilla GAN by another step, for as long as the record."""
    weights, recorded = record.read("vanilla_gan")
    method = built("vanilla_gan")._replace(step=step)
    return functional(record.setting("vanilla_gan", weights=weights), method=method), recorded


def test_trap_labels_in_the_wrong_order():
    swapped = lambda real, fake: {"real": losses.fake_loss(real), "fake": losses.real_loss(fake)}
    spec = replace(vanilla_gan(), loss=losses.non_saturating()._replace(discriminator=swapped))
    with pytest.raises(AssertionError, match="discriminator_loss_real"):
        assert_as_recorded(*trained(partial(gan.step, spec)))


def test_trap_slope_of_leaky_relu_in_dense_layers():
    with pytest.raises(AssertionError, match="in step 0"):
        assert_as_recorded(*trained(built("vanilla_gan", negative_slope=0.2).step))


def test_trap_generator_gets_the_discriminators_gradient():
    """As in PyTorch without ``detach()``: the gradients of both losses reach the generator's optimizer."""
    spec = vanilla_gan()

    def step(state, batch, key):
        def discriminator_loss(params):
            generator = state.generator.replace(params=params)
            return gan.step(spec, state.replace(generator=generator), batch, key)[1]["discriminator_loss"]

        leaked = jax.grad(discriminator_loss)(state.generator.params)

        def update(gradients, opt_state, params=None):
            return spec.generator_optimizer.update(jax.tree.map(jnp.add, gradients, leaked), opt_state, params)

        optimizer = optax.GradientTransformation(spec.generator_optimizer.init, update)
        return gan.step(replace(spec, generator_optimizer=optimizer), state, batch, key)

    ours, recorded = map(gradients, trained(step))
    with pytest.raises(AssertionError, match=r"gradient/generator.* 4 in all"):
        assert_agree(ours, recorded, tolerance=1e-9)


def gradients(trajectory):
    return {name: x for name, x in trajectory.snapshots[1].items() if name.startswith("gradient/")}
