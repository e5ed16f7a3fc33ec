"""The NNX twins against our methods, from the same weights, images and random numbers; and their checkpoints."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from imperative import nnx_dcgan, nnx_training, nnx_vanilla_gan
from imperative.setting import draws

from jaxgan.errors import UserError
from jaxgan.methods import Batch, build
from jaxgan.methods.dcgan import DCGAN
from jaxgan.methods.vanilla_gan import VanillaGAN

SHAPE, BATCH, STEPS = (28, 28, 1), 8, 20
CASES = [
    (nnx_vanilla_gan.VanillaGAN, VanillaGAN, {"latent_size": 5, "hidden_units": 12}),
    pytest.param(nnx_dcgan.DCGAN, DCGAN, {"latent_size": 6, "width": 4}, marks=pytest.mark.slow),
]


class Injected(nnx.Module):
    """Returns given arrays, one per call."""

    def __init__(self, arrays):
        self.arrays, self.calls = nnx.Variable(jnp.asarray(arrays)), nnx.Variable(jnp.zeros((), int))

    def __call__(self, *_):
        self.calls[...] += 1
        return self.arrays[...][self.calls[...] - 1]


class InjectedDropout(Injected):
    """Drops given units."""

    def __call__(self, h):
        return h * super().__call__()


def doubled(tree):
    is_float = lambda x: jnp.issubdtype(x.dtype, jnp.floating)
    return jax.tree.map(lambda x: x.astype(jnp.float64) if is_float(x) else x, tree)


def inject(twin, config, state, keys):
    """Gives a twin our weights, and the latents and masks that our method draws from the keys of its steps."""
    for name in ("generator", "discriminator"):
        network = getattr(state, name)
        layers = {**network.params}
        for layer, stats in network.batch_stats.items():
            layers[layer] = {**layers[layer], **stats}
        nnx.update(getattr(twin, name), layers)
    nnx.update(twin, doubled(nnx.state(twin)))
    every = [draws(config, key, count=BATCH) for key in keys]
    twin.draw_latents = Injected(np.array([latents for step in every for latents in step.latents]))
    if masks := [mask for step in every for mask in step.masks]:
        twin.discriminator.dropout = InjectedDropout(np.array(masks))


def assert_close(ours, theirs, tolerance):
    """Compares leaves, each relative to its largest magnitude."""
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)
    for (path, a), b in zip(jax.tree.leaves_with_path(ours), jax.tree.leaves(theirs), strict=True):
        assert b.dtype == a.dtype
        np.testing.assert_allclose(b, a, rtol=0, atol=tolerance * np.abs(a).max(), err_msg=jax.tree_util.keystr(path))


def assert_same_networks(state, twin, tolerance):
    for name in ("generator", "discriminator"):
        network, module, optimizer = getattr(state, name), getattr(twin, name), getattr(twin, f"{name}_optimizer")
        assert_close(network.params, nnx.to_pure_dict(nnx.state(module, nnx.Param)), tolerance)
        assert_close(network.batch_stats, nnx.to_pure_dict(nnx.state(module, nnx.BatchStat)), tolerance)
        moments = jax.tree.leaves(network.opt_state), jax.tree.leaves(nnx.as_pure(optimizer.opt_state))
        assert_close(*moments, tolerance)


@pytest.mark.slow
@pytest.mark.parametrize(("twin", "config", "sizes"), CASES, ids=["vanilla_gan", "dcgan"])
def test_nnx_losses_weights_moments_and_statistics_match_ours(twin, config, sizes):
    with jax.enable_x64(True):
        config, twin = config(**sizes), nnx.jit(lambda: twin(**sizes, seed=1))()
        method = build(config, image_shape=SHAPE)
        state = jax.jit(lambda key: doubled(method.init(key)))(jax.random.key(0))
        keys = jax.vmap(jax.random.key)(jnp.arange(STEPS))
        inject(twin, config, state, keys)
        step, index = jax.jit(method.step), jnp.arange(BATCH)
        for i, key in enumerate(keys):
            tolerance = 1e-9 if i == 0 else 1e-6
            images = np.random.default_rng(i).uniform(-1, 1, (BATCH, *SHAPE))
            state, ours = step(state, Batch(jnp.asarray(images), index, index), key)
            assert_close(ours, twin.train_step(images), tolerance)
            if i in (0, STEPS - 1):
                assert_same_networks(state, twin, tolerance)


@pytest.mark.parametrize("twin", [nnx_vanilla_gan.VanillaGAN, nnx_dcgan.DCGAN])
def test_initial_nnx_weights_follow_pytorch(twin):
    params = dict(nnx.to_flat_state(nnx.state(twin(), nnx.Param)))
    for (*layer, _), value in params.items():
        if not layer[-1].startswith("norm"):
            fan_in = np.prod(params[*layer, "kernel"].shape[:-1])  # of a transposed layer its outputs, as in PyTorch
            bound, values = fan_in**-0.5, np.asarray(value)
            assert np.abs(values).max() <= bound
            if values.size >= 100:
                assert np.abs(values).max() > 0.9 * bound
                assert values.std() == pytest.approx(bound / 3**0.5, rel=0.2 if values.size < 1000 else 0.05)


class Killed(Exception):
    pass


@pytest.mark.slow
@pytest.mark.parametrize(("twin", "config", "sizes"), CASES, ids=["vanilla_gan", "dcgan"])
def test_killed_and_resumed_nnx_run_equals_an_unbroken_one(tmp_path, monkeypatch, twin, config, sizes):
    images = np.random.default_rng(0).integers(0, 256, (3 * BATCH + 1, *SHAPE), dtype=np.uint8)
    options = nnx_training.Options(workdir=tmp_path / "whole", epochs=3, batch_size=BATCH, checkpoint_every=2)
    train = lambda options: nnx_training.run(lambda seed: twin(**sizes, seed=seed), options, images=images, samples=4)
    whole = train(options)

    killed = replace(options, workdir=tmp_path / "killed")
    with monkeypatch.context() as patch:
        log = nnx_training.Training.log

        def log_and_die(self, means):
            log(self, means)
            if self.step == 6:  # later than the last checkpoint, after a row that the next attempt must replace
                raise Killed

        patch.setattr(nnx_training.Training, "log", log_and_die)
        with pytest.raises(Killed):
            train(killed)
    resumed = train(killed)

    assert resumed.step == whole.step == 9
    bits = lambda run: jax.tree.map(lambda x: np.asarray(jax.random.key_data(x) if _is_key(x) else x), run.state())
    jax.tree.map(np.testing.assert_array_equal, bits(whole), bits(resumed))
    for name in ("metrics.jsonl", "samples.npz"):
        assert (killed.workdir / name).read_bytes() == (options.workdir / name).read_bytes()
    with pytest.raises(UserError, match=r"--batch-size: 6 .* 8"):
        train(replace(killed, batch_size=6))


def _is_key(x):
    return isinstance(x, jax.Array) and jnp.issubdtype(x.dtype, jax.dtypes.prng_key)


@pytest.mark.parametrize(("twin", "config", "sizes"), CASES, ids=["vanilla_gan", "dcgan"])
def test_nnx_sampling_advances_only_the_stream_of_latents(twin, config, sizes):
    gan = twin(**sizes)
    everything_else = nnx.Not(nnx.PathContains("rngs"))
    copies = lambda: jax.tree.map(np.array, nnx.to_pure_dict(nnx.state(gan, everything_else)))
    before, structure = copies(), nnx.graphdef(gan)
    first, second = gan.sample(4), gan.sample(4)
    jax.tree.map(np.testing.assert_array_equal, before, copies())
    assert nnx.graphdef(gan) == structure  # the modes too
    assert not np.array_equal(first, second)


def test_nnx_dropout_uses_a_new_key_in_every_pass():
    gan = nnx_vanilla_gan.VanillaGAN(**CASES[0][2])
    for i in (1, 2):
        gan.train_step(jnp.zeros((BATCH, *SHAPE)))
        assert gan.discriminator.dropout.rngs.count[...] == 3 * i
