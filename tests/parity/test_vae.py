"""The VAE's step against PyTorch's, with the same weights, images and noise in both."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.config import VAE
from jaxgan.methods import Batch, build
from jaxgan.nn import noise

torch = pytest.importorskip("torch")

CONFIG, SHAPE, BATCH = VAE(beta=1.5), (28, 28, 1), 16


class Twin(torch.nn.Module):
    """As PyTorch's users write it: two layers for mean and log-variance, a sigmoid, and binary cross-entropy."""

    def __init__(self):
        super().__init__()
        self.hidden, self.mean, self.log_variance = (
            torch.nn.Linear(*sizes) for sizes in ((784, 400), *[(400, 20)] * 2)
        )
        self.decoder_hidden, self.output = torch.nn.Linear(20, 400), torch.nn.Linear(400, 784)

    def forward(self, x, epsilon):
        h = torch.relu(self.hidden(x))
        mean, log_variance = self.mean(h), self.log_variance(h)
        z = mean + epsilon * torch.exp(0.5 * log_variance)
        p = torch.sigmoid(self.output(torch.relu(self.decoder_hidden(z))))
        reconstruction = torch.nn.functional.binary_cross_entropy(p, x, reduction="sum") / len(x)
        divergence = -0.5 * torch.sum(1 + log_variance - mean**2 - log_variance.exp()) / len(x)
        return reconstruction, divergence


def layers(params):
    """Our kernels and biases by the twin's names; the encoder's last layer is two of its own."""
    encoder, decoder = params["encoder"], params["decoder"]
    last = encoder["output"]
    return {
        "hidden": encoder["hidden_0"],
        "mean": {"kernel": last["kernel"][:, :20], "bias": last["bias"][:20]},
        "log_variance": {"kernel": last["kernel"][:, 20:], "bias": last["bias"][20:]},
        "decoder_hidden": decoder["hidden_0"],
        "output": decoder["output"],
    }


def load(twin, params):
    """Copies parameters into the twin; PyTorch keeps kernels as [out, in]."""
    twin.double()
    for name, layer in layers(params).items():
        getattr(twin, name).weight.data = torch.from_numpy(np.array(layer["kernel"], np.float64).T.copy())
        getattr(twin, name).bias.data = torch.from_numpy(np.array(layer["bias"], np.float64))
    return twin


def torch_step(twin, optimizer, images, key):
    epsilon = noise.normal(noise.words(key, jnp.arange(BATCH), count=20))
    pixels = torch.from_numpy((images.reshape(BATCH, -1) + 1) / 2)
    reconstruction, divergence = twin(pixels, torch.from_numpy(np.array(epsilon, np.float64)))
    optimizer.zero_grad()
    loss = reconstruction + CONFIG.beta * divergence
    loss.backward()
    optimizer.step()
    return loss.item(), reconstruction.item(), divergence.item()


def trajectories(steps):
    """Losses of each step and the final parameters, as (ours, PyTorch's) pairs, in float64."""
    with jax.enable_x64(True):
        method = build(CONFIG, image_shape=SHAPE)
        state = jax.tree.map(
            lambda x: x.astype(jnp.float64) if x.dtype == jnp.float32 else x, method.init(jax.random.key(0))
        )
        twin = load(Twin(), state.network.params)
        optimizer = torch.optim.Adam(twin.parameters(), 1e-3)
        losses, step, index = [], jax.jit(method.step), jnp.arange(BATCH)
        for i in range(steps):
            key = jax.random.key(i)
            images = np.random.default_rng(i).uniform(-1, 1, (BATCH, *SHAPE))
            theirs = torch_step(twin, optimizer, images, key)
            state, metrics = step(state, Batch(jnp.asarray(images), index, index), key)
            losses.append(([float(metrics[name]) for name in ("loss", "reconstruction", "kl_divergence")], theirs))
        params = []
        for name, layer in layers(state.network.params).items():
            theirs = getattr(twin, name)
            params.append((layer["kernel"], theirs.weight.data.T.numpy()))
            params.append((layer["bias"], theirs.bias.data.numpy()))
        return losses, params


@pytest.mark.parametrize(("steps", "tolerance"), [(1, 1e-9), (50, 1e-7)])
def test_losses_and_updated_parameters_are_pytorchs(steps, tolerance):
    losses, params = trajectories(steps)
    for ours, theirs in losses:
        assert ours == pytest.approx(theirs, rel=tolerance)
    for ours, theirs in params:
        np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance)
