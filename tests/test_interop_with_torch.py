"""Converted weights and moments mean the same to PyTorch: its modules load them, compute the same and train on."""

import jax
import numpy as np
import pytest

from jaxgan.interop import weights, with_weights
from jaxgan.methods import build
from jaxgan.methods.dcgan import DCGAN
from tests.random_states import LATENT, SHAPE, SPECTRAL, WIDTH, assert_same, random_state


def twins(torch, *, spectral):
    """The networks of a DCGAN for images of 14 by 14, as modules with the same layer names."""
    nn, leaky = torch.nn, torch.nn.functional.leaky_relu
    normalize = nn.utils.parametrizations.spectral_norm if spectral else lambda layer: layer

    class Generator(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv_2 = nn.ConvTranspose2d(LATENT, 2 * WIDTH, 4)
            self.norm_2 = nn.BatchNorm2d(2 * WIDTH)
            self.conv_1 = nn.ConvTranspose2d(2 * WIDTH, WIDTH, 3, 2, 1)  # from 4 to 7
            self.norm_1 = nn.BatchNorm2d(WIDTH)
            self.output = nn.ConvTranspose2d(WIDTH, 2, 4, 2, 1)

        def forward(self, z):
            x = leaky(self.norm_2(self.conv_2(z[:, :, None, None])), 0.2)
            return torch.tanh(self.output(leaky(self.norm_1(self.conv_1(x)), 0.2)))

    class Discriminator(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv_0 = normalize(nn.Conv2d(2, WIDTH, 4, 2, 1))
            self.conv_1 = normalize(nn.Conv2d(WIDTH, 2 * WIDTH, 3, 2, 1))
            self.norm_1 = nn.BatchNorm2d(2 * WIDTH)
            self.output = normalize(nn.Conv2d(2 * WIDTH, 1, 4))

        def forward(self, x):
            x = leaky(self.norm_1(self.conv_1(leaky(self.conv_0(x), 0.2))), 0.2)
            return self.output(x).flatten()

    return nn.ModuleDict({"generator": Generator(), "discriminator": Discriminator()}).double().eval()


@pytest.mark.parametrize("spectral", [False, True])
def test_pytorch_loads_the_state_and_computes_the_same_images_and_logits(spectral):
    torch = pytest.importorskip("torch")
    config = SPECTRAL if spectral else DCGAN(width=WIDTH, latent_size=LATENT, bias=True)
    state, twin = random_state(config), twins(torch, spectral=spectral)
    twin.load_state_dict(jax.tree.map(torch.from_numpy, weights(state)), strict=True)
    rng = np.random.default_rng(0)
    z, images = rng.normal(size=(4, LATENT)), rng.uniform(-1, 1, (4, *SHAPE))
    with torch.no_grad():
        drawn = twin.generator(torch.from_numpy(z)).numpy().transpose(0, 2, 3, 1)
        logits = twin.discriminator(torch.from_numpy(images.transpose(0, 3, 1, 2).copy())).numpy()
    with jax.enable_x64(True):
        for name, given, theirs in (("generator", z, drawn), ("discriminator", images, logits)):
            module, network = build(config, image_shape=SHAPE).networks[name].module, getattr(state, name)
            ours = jax.jit(module.apply)(network.variables, given)
            assert np.std(theirs) > 1e-3
            np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-12)
    assert_same(
        with_weights(random_state(config, seed=1), twin.state_dict()).discriminator.params, state.discriminator.params
    )
