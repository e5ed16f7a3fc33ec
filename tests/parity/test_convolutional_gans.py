"""The steps of DCGAN and Wasserstein GAN against PyTorch's, with the same weights, images and noise in both."""

from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.config import DCGAN, WGAN
from jaxgan.methods import Batch, build
from jaxgan.nn import noise

torch = pytest.importorskip("torch")

SHAPE, BATCH, LATENT, WIDTH = (28, 28, 1), 8, 10, 4
CHANNELS = (1, WIDTH, 2 * WIDTH, 4 * WIDTH)
GEOMETRIES = ((4, 2, 1), (4, 2, 1), (3, 2, 1), (4, 1, 0))  # kernel, stride, padding of the chapter's ladder


class Generator(torch.nn.Module):
    def __init__(self):
        super().__init__()
        outputs = (1, *CHANNELS[1:])
        inputs = (*CHANNELS[1:], LATENT)
        for i, (geometry, n, m) in enumerate(zip(GEOMETRIES, inputs, outputs, strict=True)):
            name = f"conv_{i}" if i else "output"
            setattr(self, name, torch.nn.ConvTranspose2d(n, m, *geometry, bias=False))
            if i:
                setattr(self, f"norm_{i}", torch.nn.BatchNorm2d(m))

    def forward(self, z):
        x = z[:, :, None, None]
        for i in (3, 2, 1):
            x = getattr(self, f"norm_{i}")(getattr(self, f"conv_{i}")(x))
            x = torch.nn.functional.leaky_relu(x, 0.2)
        return torch.tanh(self.output(x))


class Discriminator(torch.nn.Module):
    def __init__(self, norm):
        super().__init__()
        for i, (geometry, (n, m)) in enumerate(zip(GEOMETRIES, pairwise((*CHANNELS, 1)), strict=True)):
            setattr(self, f"conv_{i}" if i < 3 else "output", torch.nn.Conv2d(n, m, *geometry, bias=False))
            if i in (1, 2):
                setattr(self, f"norm_{i}", norm(m))

    def forward(self, x):
        for i in (0, 1, 2):
            x = getattr(self, f"conv_{i}")(x)
            x = getattr(self, f"norm_{i}")(x) if i else x
            x = torch.nn.functional.leaky_relu(x, 0.2)
        return self.output(x).flatten()


def instance_norm(channels):
    return torch.nn.InstanceNorm2d(channels, affine=True)


def load(module, params):
    """Copies parameters into a module of the same layer names; PyTorch's kernels have the last two axes first."""
    module.double()
    for name, layer in params.items():
        theirs = getattr(module, name)
        if "kernel" in layer:
            theirs.weight.data = torch.from_numpy(np.array(layer["kernel"], np.float64).transpose(3, 2, 0, 1).copy())
        else:
            theirs.weight.data, theirs.bias.data = (
                torch.from_numpy(np.array(layer[part], np.float64)) for part in ("scale", "bias")
            )
    return module


def assert_same_weights(module, network, tolerance):
    close = lambda a, b: np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)
    for name, layer in network.params.items():
        theirs = getattr(module, name)
        if "kernel" in layer:
            close(layer["kernel"], theirs.weight.detach().numpy().transpose(2, 3, 1, 0))
        else:
            close(layer["scale"], theirs.weight.detach().numpy())
            close(layer["bias"], theirs.bias.detach().numpy())
    for name, stats in network.batch_stats.items():
        close(stats["mean"], getattr(module, name).running_mean.numpy())
        close(stats["var"], getattr(module, name).running_var.numpy())


def momentum(module, value):
    for layer in module.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.momentum = value


def dcgan_step(generator, discriminator, optimizers, images, words):
    """The usual script, but for running statistics: passes that do not train a network leave those of it alone."""
    z_d, z_g = (torch.from_numpy(np.array(noise.normal(part), np.float64)) for part in jnp.split(words, 2, axis=1))
    bce = torch.nn.functional.binary_cross_entropy_with_logits
    optimizers[1].zero_grad()
    momentum(generator, 0.0)
    fake = generator(z_d).detach()
    real, fake = discriminator(images), discriminator(fake)
    d_loss = bce(real, torch.ones_like(real)) + bce(fake, torch.zeros_like(fake))
    d_loss.backward()
    optimizers[1].step()
    optimizers[0].zero_grad()
    momentum(generator, 0.1)
    momentum(discriminator, 0.0)
    judged = discriminator(generator(z_g))
    g_loss = bce(judged, torch.ones_like(judged))
    g_loss.backward()
    optimizers[0].step()
    momentum(discriminator, 0.1)
    return {"discriminator_loss": d_loss.item(), "generator_loss": g_loss.item()}


def wgan_step(generator, critic, optimizers, images, words, *, update_generator):
    z_d, z_g = (
        torch.from_numpy(np.array(noise.normal(words[:, i * LATENT :][:, :LATENT]), np.float64)) for i in (0, 1)
    )
    share = torch.from_numpy(np.array((noise.uniform(words[:, -1:]) + 1) / 2, np.float64))[:, :, None, None]
    optimizers[1].zero_grad()
    momentum(generator, 0.0)
    fake = generator(z_d).detach()
    between = (images + share * (fake - images)).requires_grad_()
    (slopes,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    penalty = 10 * ((slopes.flatten(1).norm(dim=1) - 1) ** 2).mean()
    estimate = critic(images).mean() - critic(fake).mean()
    (penalty - estimate).backward()
    optimizers[1].step()
    if update_generator:
        optimizers[0].zero_grad()
        momentum(generator, 0.1)
        (-critic(generator(z_g)).mean()).backward()
        optimizers[0].step()
    return {"wasserstein_estimate": estimate.item(), "gradient_penalty": penalty.item()}


def compare(config, twins, torch_step, optimizers, *, words, steps, loss_tolerance, tolerance):
    with jax.enable_x64(True):
        method = build(config, image_shape=SHAPE)
        state = jax.tree.map(
            lambda x: x.astype(jnp.float64) if x.dtype == jnp.float32 else x, method.init(jax.random.key(0))
        )
        twins = load(twins[0], state.generator.params), load(twins[1], state.discriminator.params)
        optimizers = [make(twin.parameters()) for make, twin in zip(optimizers, twins, strict=True)]
        step, index = jax.jit(method.step), jnp.arange(BATCH)
        for i in range(steps):
            key = jax.random.key(i)
            images = np.random.default_rng(i).uniform(-1, 1, (BATCH, *SHAPE))
            bits = noise.words(key, index, count=words)
            theirs = torch_step(*twins, optimizers, torch.from_numpy(images.transpose(0, 3, 1, 2).copy()), bits, i)
            state, metrics = step(state, Batch(jnp.asarray(images), index, index), key)
            assert {name: float(metrics[name]) for name in theirs} == pytest.approx(theirs, rel=loss_tolerance)
        for twin, network in zip(twins, (state.generator, state.discriminator), strict=True):
            assert_same_weights(twin, network, tolerance)


@pytest.mark.parametrize(("steps", "tolerance"), [(1, 1e-9), (20, 1e-6)])
def test_dcgan_has_pytorchs_losses_weights_and_running_statistics(steps, tolerance):
    compare(
        DCGAN(width=WIDTH, latent_size=LATENT),
        (Generator(), Discriminator(torch.nn.BatchNorm2d)),
        lambda *args: dcgan_step(*args[:-1]),
        [lambda p: torch.optim.Adam(p, 3e-4), lambda p: torch.optim.Adam(p, 2e-4)],
        words=2 * LATENT,
        steps=steps,
        loss_tolerance=tolerance,
        tolerance=tolerance,
    )


@pytest.mark.parametrize(("steps", "tolerance"), [(1, 1e-9), (20, 1e-6)])
def test_wgan_has_pytorchs_estimate_second_order_penalty_and_weights(steps, tolerance):
    compare(
        WGAN(width=WIDTH, latent_size=LATENT),
        (Generator(), Discriminator(instance_norm)),
        lambda *args: wgan_step(*args[:-1], update_generator=(args[-1] + 1) % 5 == 0),
        [lambda p: torch.optim.Adam(p, 2e-4, (0.5, 0.9))] * 2,
        words=2 * LATENT + 1,
        steps=steps,
        loss_tolerance=tolerance,
        tolerance=tolerance,
    )


def test_clipped_wgan_has_pytorchs_rmsprop():
    def step(generator, critic, optimizers, images, words, i):
        z = torch.from_numpy(np.array(noise.normal(words[:, :LATENT]), np.float64))
        momentum(generator, 0.0)
        optimizers[1].zero_grad()
        estimate = critic(images).mean() - critic(generator(z).detach()).mean()
        (-estimate).backward()
        optimizers[1].step()
        with torch.no_grad():
            for parameter in critic.parameters():
                parameter.clamp_(-0.01, 0.01)
        return {"wasserstein_estimate": estimate.item()}

    compare(
        WGAN(width=WIDTH, latent_size=LATENT, constraint="clip", critic_steps=99),
        (Generator(), Discriminator(instance_norm)),
        step,
        [lambda p: torch.optim.SGD(p, 0.0), lambda p: torch.optim.RMSprop(p, 5e-5)],
        words=2 * LATENT,
        steps=5,
        loss_tolerance=1e-6,
        tolerance=1e-6,
    )
