"""The Wasserstein GAN with clipped weights and RMSprop, which has no twin, against the same loop in PyTorch."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from imperative.parity import arithmetic, initial_state

from jaxgan import interop
from jaxgan.methods import Batch, build
from jaxgan.methods.wgan import WGAN
from jaxgan.nn import noise
from tests.parity import record
from tests.parity.agreement import assert_agree

LATENT, STEPS = record.CONFIGS["wgan"].latent_size, 5


@pytest.mark.slow  # tests/methods/test_wgan.py sees the clipping and the step size
def test_clipped_wgan_matches_pytorchs_rmsprop():
    torch = pytest.importorskip("torch")
    torch.set_num_threads(1)
    from imperative.gan import frozen
    from imperative.twins import twin_of

    index = jnp.arange(record.BATCH)
    torch.manual_seed(0)
    twin = twin_of(record.CONFIGS["wgan"], image_shape=(28, 28, 1)).double()
    initial = {name: x.numpy().copy() for name, x in twin.state_dict().items()}
    optimizer = torch.optim.RMSprop(twin.discriminator.parameters(), 5e-5)
    with arithmetic("float64"):
        config = WGAN(width=2, latent_size=LATENT, constraint="clip", critic_steps=99)
        method = build(config, image_shape=(28, 28, 1))
        state = initial_state(record.setting("wgan", weights=initial), method)

        def critic_step(state, batch, key):  # the generator has nothing to do, and need not be compiled
            after, metrics = method.step(state, batch, key)
            return state.replace(discriminator=after.discriminator), metrics["wasserstein_estimate"]

        step = jax.jit(critic_step)
        for i in range(STEPS):
            # Not digits: an even background and weights of one size cancel, and LeakyReLU bends at that zero.
            images, key = np.random.default_rng(i).uniform(-1, 1, (record.BATCH, 28, 28, 1)), jax.random.key(i)
            latents = noise.normal(noise.random_bits(key, index, count=2 * LATENT)[:, :LATENT])
            state, ours = step(state, Batch(jnp.asarray(images), index, index), key)

            optimizer.zero_grad()
            with frozen(twin.generator):
                generated = twin.generator(torch.tensor(np.asarray(latents))).detach()
            real = torch.from_numpy(images.transpose(0, 3, 1, 2).copy())
            estimate = twin.discriminator(real).mean() - twin.discriminator(generated).mean()
            (-estimate).backward()
            optimizer.step()
            with torch.no_grad():
                for parameter in twin.discriminator.parameters():
                    parameter.clamp_(-0.01, 0.01)
            assert float(ours) == pytest.approx(estimate.item(), rel=1e-9)
        theirs = {name: x.numpy() for name, x in twin.state_dict().items() if not name.endswith("num_batches_tracked")}
        assert_agree(interop.weights(state), theirs, tolerance=1e-9)
