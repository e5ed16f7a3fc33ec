"""The vanilla GAN's step against PyTorch's, with the same weights, images, latents and dropout masks in both."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.config import VanillaGAN
from jaxgan.methods import Batch, build
from jaxgan.methods.factory import networks
from jaxgan.nn import noise

torch = pytest.importorskip("torch")

CONFIG, SHAPE, BATCH = VanillaGAN(), (28, 28, 1), 16


def draw(key):
    """The latents and masks of a step, as the method draws them."""
    _, (discriminator, _) = networks(CONFIG, image_shape=SHAPE).values()
    n, d = CONFIG.latent_size, discriminator.noise_offsets[-1]
    bits = noise.words(key, jnp.arange(BATCH), count=2 * n + 3 * d)
    latents = [noise.uniform(bits[:, i * n : (i + 1) * n]) for i in range(2)]
    masks = [noise.keep_mask(part, CONFIG.hidden_units, rate=0.5) for part in jnp.split(bits[:, 2 * n :], 3, axis=1)]
    return [torch.from_numpy(np.array(x, np.float64)) for x in (*latents, *masks)]


class Generator(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden_0, self.output = torch.nn.Linear(20, 100), torch.nn.Linear(100, 784)

    def forward(self, z):
        return torch.tanh(self.output(torch.nn.functional.leaky_relu(self.hidden_0(z))))


class Discriminator(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden_0, self.output = torch.nn.Linear(784, 100, bias=False), torch.nn.Linear(100, 1)

    def forward(self, x, mask):
        return self.output(torch.nn.functional.leaky_relu(self.hidden_0(x)) * mask * 2)[:, 0]


def load(module, params):
    """Copies parameters into a module of the same layer names; PyTorch keeps kernels as [out, in]."""
    module.double()
    for name, layer in params.items():
        getattr(module, name).weight.data = torch.from_numpy(np.array(layer["kernel"], np.float64).T.copy())
        if "bias" in layer:
            getattr(module, name).bias.data = torch.from_numpy(np.array(layer["bias"], np.float64))
    return module


def torch_step(generator, discriminator, optimizers, images, key):
    z_d, z_g, *masks = draw(key)
    bce = torch.nn.functional.binary_cross_entropy_with_logits
    optimizers[1].zero_grad()
    real, fake = discriminator(images, masks[0]), discriminator(generator(z_d).detach(), masks[1])
    d_loss = bce(real, torch.ones(BATCH).double()) + bce(fake, torch.zeros(BATCH).double())
    d_loss.backward()
    optimizers[1].step()
    optimizers[0].zero_grad()
    g_loss = bce(discriminator(generator(z_g), masks[2]), torch.ones(BATCH).double())
    g_loss.backward()
    optimizers[0].step()
    return d_loss.item(), g_loss.item()


def trajectories(steps):
    """Losses of each step and the final parameters, as (ours, PyTorch's) pairs, in float64."""
    with jax.enable_x64(True):
        method = build(CONFIG, image_shape=SHAPE)
        state = jax.tree.map(
            lambda x: x.astype(jnp.float64) if x.dtype == jnp.float32 else x, method.init(jax.random.key(0))
        )
        twins = load(Generator(), state.generator.params), load(Discriminator(), state.discriminator.params)
        optimizers = [torch.optim.Adam(twin.parameters(), 1e-3) for twin in twins]
        losses, step = [], jax.jit(method.step)
        for i in range(steps):
            key = jax.random.key(i)
            images = np.random.default_rng(i).uniform(-1, 1, (BATCH, *SHAPE))
            theirs = torch_step(*twins, optimizers, torch.from_numpy(images.reshape(BATCH, -1)), key)
            index = jnp.arange(BATCH)
            state, metrics = step(state, Batch(jnp.asarray(images), index, index), key)
            losses.append(((metrics["discriminator_loss"], metrics["generator_loss"]), theirs))
        params = []
        for network, twin in zip((state.generator, state.discriminator), twins, strict=True):
            for name, layer in network.params.items():
                theirs = getattr(twin, name)
                params.append((layer["kernel"], theirs.weight.data.T.numpy()))
                if "bias" in layer:
                    params.append((layer["bias"], theirs.bias.data.numpy()))
        return losses, params


@pytest.mark.parametrize(("steps", "tolerance"), [(1, 1e-9), (50, 1e-7)])
def test_losses_and_updated_parameters_are_pytorchs(steps, tolerance):
    losses, params = trajectories(steps)
    for ours, theirs in losses:
        assert [float(x) for x in ours] == pytest.approx(theirs, rel=tolerance)
    for ours, theirs in params:
        np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance)


def test_initial_weights_follow_pytorchs_law():
    state = build(CONFIG, image_shape=SHAPE).init(jax.random.key(0))
    for params, twin in ((state.generator.params, Generator()), (state.discriminator.params, Discriminator())):
        for name, layer in params.items():
            ours, theirs = np.asarray(layer["kernel"]), getattr(twin, name).weight.detach().numpy()
            assert np.abs(ours).max() == pytest.approx(np.abs(theirs).max(), rel=0.05)
            assert ours.std() == pytest.approx(theirs.std(), rel=0.25 if ours.size < 1000 else 0.05)
