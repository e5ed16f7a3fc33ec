"""Residual networks have the values and the gradients of gradients of their PyTorch twins, in float64."""

import jax
import numpy as np
import pytest

from jaxgan.interop import from_state_dict, state_dict
from jaxgan.nn.resnet import ResidualDecoder, ResidualEncoder, Tower

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402
from torch.nn import functional  # noqa: E402

pytestmark = pytest.mark.slow
KEY, TOWER = jax.random.key(0), Tower(width=2, max_width=4, blocks=1, group_size=2)
SIZES, CHANNELS = [(9, 8), (5, 4), (3, 4)], [2, 4, 4]


class Block(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.expand = nn.Conv2d(channels, 2 * channels, 1)
        self.mix = nn.Conv2d(2 * channels, 2 * channels, 3, padding=1, groups=channels)
        self.reduce = nn.Conv2d(2 * channels, channels, 1, bias=False)

    def forward(self, x):
        h = functional.leaky_relu(self.expand(x), 0.2)
        return x + self.reduce(functional.leaky_relu(self.mix(h), 0.2))


def resize(x, size):
    return functional.interpolate(x, size=size, mode="bilinear", antialias=True)


def linear(inputs, outputs):
    return nn.Conv2d(inputs, outputs, 1, bias=False)


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.input, self.down_1, self.output = linear(3, 2), linear(2, 4), linear(4, 5)
        self.basis = nn.Conv2d(4, 4, SIZES[-1], groups=4, bias=False)
        for i, channels in enumerate(CHANNELS):
            self.add_module(f"stage_{i}_block_0", Block(channels))

    def forward(self, x):
        x = self.stage_0_block_0(self.input(x))
        x = self.stage_1_block_0(self.down_1(resize(x, SIZES[1])))
        x = self.stage_2_block_0(resize(x, SIZES[2]))
        return self.output(self.basis(x))[:, :, 0, 0]


class Decoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.input, self.up_0, self.output = linear(6, 4), linear(4, 2), linear(2, 3)
        self.basis = nn.ConvTranspose2d(4, 4, SIZES[-1], groups=4, bias=False)
        for i, channels in enumerate(CHANNELS):
            self.add_module(f"stage_{i}_block_0", Block(channels))

    def forward(self, z):
        x = self.stage_2_block_0(self.basis(self.input(z[:, :, None, None])))
        x = self.stage_1_block_0(resize(x, SIZES[1]))
        return self.output(self.stage_0_block_0(resize(self.up_0(x), SIZES[0])))


def pair_of(network, twin, example):
    """Random parameters of a network, and its twin with the same."""
    abstract = jax.eval_shape(network.init, KEY, example)["params"]
    rng = np.random.default_rng(0)
    params = jax.tree.map(lambda x: rng.normal(0, 0.5, x.shape), abstract)
    twin.double().load_state_dict({name: torch.from_numpy(x) for name, x in state_dict(params).items()})
    return params, twin


def test_an_encoder_has_its_twins_values_and_gradients_of_gradients():
    images = np.random.default_rng(1).normal(size=(2, 9, 8, 3))
    network = ResidualEncoder(5, TOWER)
    params, twin = pair_of(network, Encoder(), images)
    x = torch.from_numpy(images.transpose(0, 3, 1, 2).copy()).requires_grad_()
    theirs = twin(x)
    (slope,) = torch.autograd.grad(theirs.tanh().sum(), x, create_graph=True)
    (slope**2).sum().backward()

    def penalty(params):
        gradient = jax.grad(lambda x: jax.numpy.tanh(network.apply({"params": params}, x)).sum())(images)
        return (gradient**2).sum()

    with jax.enable_x64(True):
        ours, gradients = jax.jit(lambda p: (network.apply({"params": p}, images), jax.grad(penalty)(p)))(params)
    np.testing.assert_allclose(ours, theirs.detach().numpy(), rtol=1e-10)
    found = {name: p.grad.numpy() for name, p in twin.named_parameters()}
    expected, _ = from_state_dict(found, like=(params, {}))
    largest = max(np.abs(x).max() for x in jax.tree.leaves(expected))
    assert largest > 1e-3
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-10 * largest), gradients, expected)


def test_a_decoder_has_its_twins_values():
    latents = np.random.default_rng(1).normal(size=(2, 6))
    network = ResidualDecoder((9, 8, 3), TOWER)
    params, twin = pair_of(network, Decoder(), latents)
    with jax.enable_x64(True):
        ours = jax.jit(network.apply)({"params": params}, latents)
    theirs = twin(torch.from_numpy(latents)).detach().numpy()
    np.testing.assert_allclose(ours, theirs.transpose(0, 2, 3, 1), rtol=1e-9, atol=1e-12)
