"""Conversion to PyTorch's names and layouts: exact both ways, and meaning the same to PyTorch."""

import jax
import numpy as np
import optax
import pytest

from jaxgan.config import DCGAN, VAE, WGAN, Autoencoder, VanillaGAN
from jaxgan.errors import UserError
from jaxgan.interop import (
    Moments,
    adam_by_name,
    adam_by_position,
    adam_state,
    from_state_dict,
    state_dict,
    weights,
    with_adam_state,
    with_weights,
)
from jaxgan.methods import GANState, NetworkState, build, networks

SHAPE, WIDTH, LATENT = (14, 14, 2), 3, 5
SPECTRAL = DCGAN(width=WIDTH, latent_size=LATENT, bias=True, spectral_norm=True)
CONFIGS = {
    "autoencoder": Autoencoder(encoder="conv", width=WIDTH, latent_size=LATENT),
    "vae": VAE(hidden_units=7, latent_size=LATENT),
    "vanilla_gan": VanillaGAN(hidden_units=7, latent_size=LATENT, ema_decay=0.9),
    "dcgan": DCGAN(width=WIDTH, latent_size=LATENT),
    "dcgan with spectral normalization": SPECTRAL,
    "conditional dcgan": DCGAN(width=WIDTH, latent_size=LATENT, conditional=True),
    "dcgan with other norms": DCGAN(width=WIDTH, generator_norm="instance", discriminator_norm="layer", bias=True),
    "wgan": WGAN(width=WIDTH, latent_size=LATENT),
}


def random_like(tree, *, dtype, seed):
    """Numbers in the place of every leaf: counts stay whole, and what is divided by or rooted stays positive."""
    rng = np.random.default_rng(seed)

    def fill(leaf):
        if not np.issubdtype(leaf.dtype, np.floating):
            return np.array(rng.integers(1, 100), leaf.dtype)
        return (rng.uniform(0.2, 1, leaf.shape) / 3).astype(dtype)

    return jax.tree.map(fill, tree)


def random_state(config, *, dtype=np.float64, seed=0):
    method = build(config, image_shape=SHAPE)
    return random_like(jax.eval_shape(method.init, jax.random.key(0)), dtype=dtype, seed=seed)


def networks_of(state):
    return (state.generator, state.discriminator) if isinstance(state, GANState) else (state.network,)


def assert_same(a, b):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        assert x.dtype == y.dtype
        np.testing.assert_array_equal(x, y)


@pytest.fixture(params=CONFIGS)
def config(request):
    return CONFIGS[request.param]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_weights_and_statistics_of_every_method_come_back_to_the_bit(config, dtype):
    state, other = random_state(config, dtype=dtype), random_state(config, dtype=dtype, seed=1)
    out = weights(state)
    assert {array.dtype for array in out.values()} == {np.dtype(dtype)}
    assert all(array.flags.c_contiguous and array.flags.writeable for array in out.values())
    restored = with_weights(other, out)
    for ours, theirs, old in zip(networks_of(restored), networks_of(state), networks_of(other), strict=True):
        assert_same((ours.params, ours.batch_stats), (theirs.params, theirs.batch_stats))
        assert_same(ours.opt_state, old.opt_state)
    assert jax.tree.structure(restored) == jax.tree.structure(state)
    assert restored.step == other.step


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_adams_moments_of_every_method_come_back_to_the_bit_by_name_and_by_position(config, dtype):
    state, other = random_state(config, dtype=dtype), random_state(config, dtype=dtype, seed=1)
    for network, before in zip(networks_of(state), networks_of(other), strict=True):
        moments = adam_state(network)
        names = sorted(moments.exp_avg, reverse=True)
        assert set(names) <= set(state_dict(network.params, network.batch_stats))
        restored = with_adam_state(before, adam_by_name(adam_by_position(moments, names), names))
        assert_same(restored.opt_state, network.opt_state)
        assert_same(restored.params, before.params)


def test_nothing_that_goes_out_or_comes_in_shares_memory_with_what_it_was_made_of():
    state = random_state(CONFIGS["vanilla_gan"])
    out, before = weights(state), random_state(CONFIGS["vanilla_gan"])
    moments = adam_state(state.generator)
    names = list(moments.exp_avg)
    placed = adam_by_position(moments, names)
    restored, named = with_weights(state, out), adam_by_name(placed, names)
    again = with_adam_state(state.generator, named)
    for array in jax.tree.leaves((out, placed)):
        array += 1
    assert_same((state, restored.generator.params), (before, before.generator.params))
    assert_same(moments.exp_avg, adam_state(before.generator).exp_avg)
    assert_same(moments.exp_avg_sq, adam_state(before.generator).exp_avg_sq)
    assert_same(restored.averaged, before.generator.params)
    assert_same((again.opt_state, named.exp_avg), (before.generator.opt_state, adam_state(before.generator).exp_avg))
    assert not any(
        np.shares_memory(*pair)
        for pair in zip(*map(jax.tree.leaves, (restored.averaged, restored.generator.params)), strict=True)
    )


def test_what_comes_in_takes_the_type_of_what_it_replaces():
    out = weights(random_state(CONFIGS["dcgan"], dtype=np.float64))
    restored = with_weights(random_state(CONFIGS["dcgan"], dtype=np.float32), out)
    assert {leaf.dtype for leaf in jax.tree.leaves(restored.generator.params)} == {np.dtype(np.float32)}
    for name, array in weights(restored).items():
        np.testing.assert_array_equal(array, out[name].astype(np.float32))


def test_averaged_parameters_stand_in_for_the_last_ones_where_there_are_any():
    state = random_state(CONFIGS["vanilla_gan"])
    expected = state_dict({"generator": state.averaged, "discriminator": state.discriminator.params})
    assert_same(weights(state, averaged=True), expected)
    plain = random_state(CONFIGS["dcgan"])
    assert_same(weights(plain, averaged=True), weights(plain))
    vae = random_state(CONFIGS["vae"])
    assert_same(weights(vae, averaged=True), state_dict(vae.averaged))


def test_names_and_layouts_are_pytorchs():
    state = random_state(SPECTRAL)
    out = weights(state)
    assert set(out) == {
        *(f"generator.{name}" for name in ("conv_1.weight", "conv_1.bias", "conv_2.weight", "conv_2.bias")),
        *(f"generator.norm_{i}.{name}" for i in (1, 2) for name in ("weight", "bias", "running_mean", "running_var")),
        *("generator.output.weight", "generator.output.bias"),
        *(f"discriminator.norm_1.{name}" for name in ("weight", "bias", "running_mean", "running_var")),
        *(
            f"discriminator.{layer}.{name}"
            for layer in ("conv_0", "conv_1", "output")
            for name in (
                *("bias", "parametrizations.weight.original"),
                *("parametrizations.weight.0._u", "parametrizations.weight.0._v"),
            )
        ),
    }
    up, down = state.generator.params["conv_1"]["kernel"], state.discriminator.params["conv_1"]["kernel"]
    assert out["generator.conv_1.weight"][5, 1, 2, 0] == up[2, 0, 1, 5]  # [in, out, h, w] of [h, w, out, in]
    assert out["discriminator.conv_1.parametrizations.weight.original"][5, 1, 2, 0] == down[2, 0, 1, 5]
    dense = random_state(CONFIGS["vae"])
    kernel = dense.network.params["encoder"]["hidden_0"]["kernel"]
    np.testing.assert_array_equal(weights(dense)["encoder.hidden_0.weight"], kernel.T)


def test_singular_vectors_give_the_same_singular_value_of_pytorchs_matrix():
    state = random_state(SPECTRAL)
    params, stats = state.discriminator.params["conv_1"], state.discriminator.batch_stats["conv_1"]
    out = state_dict(params, {"u": stats["u"], "v": stats["v"]})  # a bare layer has no prefix
    matrix = out["parametrizations.weight.original"].reshape(len(out["bias"]), -1)
    theirs = out["parametrizations.weight.0._u"] @ matrix @ out["parametrizations.weight.0._v"]
    assert theirs == pytest.approx(stats["v"] @ params["kernel"].reshape(-1, 2 * WIDTH) @ stats["u"], rel=1e-12)


def test_pytorchs_count_of_batches_is_passed_over_but_only_beside_running_statistics():
    state = random_state(CONFIGS["dcgan"])
    out = weights(state)
    assert_same(
        with_weights(state, out | {"generator.norm_1.num_batches_tracked": np.array(7)}), with_weights(state, out)
    )
    with pytest.raises(UserError, match=r"generator\.conv_1\.num_batches_tracked: unknown"):
        with_weights(state, out | {"generator.conv_1.num_batches_tracked": np.array(7)})


def test_a_name_or_a_shape_that_does_not_fit_is_named_with_what_was_expected():
    params = {"conv_0": {"kernel": np.zeros((3, 3, 1, 4)), "bias": np.zeros(4)}}
    good = state_dict(params)
    read = lambda arrays: from_state_dict(arrays, like=(params, {}))
    misspelt = {"conv0.weight": good["conv_0.weight"], "conv_0.bias": good["conv_0.bias"]}
    with pytest.raises(
        UserError, match=r"^conv_0\.weight: missing, .* \(4, 1, 3, 3\).* nearest name is 'conv0\.weight'$"
    ):
        read(misspelt)
    with pytest.raises(UserError, match=r"^conv_0\.weigth: unknown, .* \(2,\).* nearest name is 'conv_0\.weight'$"):
        read(good | {"conv_0.weigth": np.zeros(2)})
    with pytest.raises(UserError, match=r"^conv_0\.weight: .* \(1, 4, 3, 3\) does not fit, shape \(4, 1, 3, 3\)"):
        read(good | {"conv_0.weight": good["conv_0.weight"].transpose(1, 0, 2, 3)})
    with pytest.raises(UserError, match=r"^lstm\.gates: a leaf of shape \(2, 2\)"):
        state_dict({"lstm": {"gates": np.zeros((2, 2))}})


def test_moments_that_do_not_fit_are_named():
    network = random_state(CONFIGS["vanilla_gan"]).generator
    moments = adam_state(network)
    names = list(moments.exp_avg)
    placed = adam_by_position(moments, names)
    with pytest.raises(UserError, match=r"^output\.weight: a tensor of shape \(1,\)"):
        with_adam_state(network, moments._replace(exp_avg_sq=moments.exp_avg_sq | {"output.weight": np.zeros(1)}))
    with pytest.raises(UserError, match=r"^hidden_9: there are no moments"):
        adam_by_position(moments, [*names, "hidden_9"])
    with pytest.raises(UserError, match=f"^{names[-1]}: there are moments of it"):
        adam_by_position(moments, names[:-1])
    with pytest.raises(UserError, match=f"^{names[0]}: .* this optimizer nothing"):
        adam_by_name({}, names)
    with pytest.raises(UserError, match=f"^{names[0]}: .* this optimizer momentum_buffer"):
        adam_by_name({0: {"momentum_buffer": np.zeros(3)}}, names)
    with pytest.raises(UserError, match=f"^{names[1]}: updated 3 times, but {names[0]} {moments.step} times"):
        adam_by_name(placed | {1: placed[1] | {"step": np.float32(3)}}, names)


@pytest.mark.parametrize(
    "optimizer", [optax.rmsprop(1e-3), optax.sgd(1e-3), optax.chain(optax.adam(1e-3), optax.trace(0.9))]
)
def test_only_adam_has_a_counterpart(optimizer):
    params = {"output": {"kernel": np.zeros((2, 3))}}
    network = NetworkState(params, {}, optimizer.init(params))
    for convert in (adam_state, lambda network: with_adam_state(network, Moments(1, {}, {}))):
        with pytest.raises(UserError, match=r"only that of optax\.adam has a counterpart"):
            convert(network)


def twins(torch, *, spectral):
    """The networks of a DCGAN for images of 14 by 14, as modules of the same layer names."""
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
def test_pytorch_loads_the_whole_state_strictly_and_computes_the_same_images_and_logits(spectral):
    torch = pytest.importorskip("torch")
    config = SPECTRAL if spectral else DCGAN(width=WIDTH, latent_size=LATENT, bias=True)
    state, twin = random_state(config), twins(torch, spectral=spectral)
    twin.load_state_dict(jax.tree.map(torch.from_numpy, weights(state)), strict=True)
    rng = np.random.default_rng(0)
    z, images = rng.normal(size=(4, LATENT)), rng.uniform(-1, 1, (4, *SHAPE))
    with torch.no_grad():
        drawn = twin.generator(torch.from_numpy(z)).numpy().transpose(0, 2, 3, 1)
        judged = twin.discriminator(torch.from_numpy(images.transpose(0, 3, 1, 2).copy())).numpy()
    with jax.enable_x64(True):
        for name, given, theirs in (("generator", z, drawn), ("discriminator", images, judged)):
            module, network = networks(config, image_shape=SHAPE)[name][0], getattr(state, name)
            ours = jax.jit(module.apply)({"params": network.params, "batch_stats": network.batch_stats}, given)
            assert np.std(theirs) > 1e-3
            np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-12)
    assert_same(
        with_weights(random_state(config, seed=1), twin.state_dict()).discriminator.params, state.discriminator.params
    )


def test_pytorch_loads_dense_layers_and_computes_the_same_images():
    torch = pytest.importorskip("torch")
    config = VanillaGAN(hidden_units=7, latent_size=LATENT)
    module, _ = networks(config, image_shape=SHAPE)["generator"]
    params = random_like(
        jax.eval_shape(module.init, jax.random.key(0), np.zeros((1, LATENT)))["params"], dtype=np.float64, seed=0
    )
    layers = {"hidden_0": torch.nn.Linear(LATENT, 7), "output": torch.nn.Linear(7, 392)}
    twin = torch.nn.ModuleDict(layers).double()
    twin.load_state_dict(jax.tree.map(torch.from_numpy, state_dict(params)), strict=True)
    z = np.random.default_rng(0).normal(size=(4, LATENT))
    theirs = torch.tanh(twin.output(torch.nn.functional.leaky_relu(twin.hidden_0(torch.from_numpy(z)), 0.01)))
    with jax.enable_x64(True):
        ours = jax.jit(module.apply)({"params": params}, z)
    np.testing.assert_allclose(np.reshape(ours, (4, -1)), theirs.detach().numpy(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("spectral", [False, True])
def test_pytorchs_adam_goes_on_from_our_moments_to_the_same_weights_and_moments(spectral):
    torch = pytest.importorskip("torch")
    config = SPECTRAL if spectral else DCGAN(width=WIDTH, latent_size=LATENT, bias=True)
    network, twin = random_state(config).discriminator, twins(torch, spectral=spectral).discriminator
    tensors = lambda *trees: jax.tree.map(torch.from_numpy, state_dict(*trees))
    twin.load_state_dict(tensors(network.params, network.batch_stats), strict=True)
    names = [name for name, _ in twin.named_parameters()]
    optimizer = torch.optim.Adam(twin.parameters(), 1e-2, (0.5, 0.9))
    moments = jax.tree.map(torch.from_numpy, adam_by_position(adam_state(network), names))
    optimizer.load_state_dict(optimizer.state_dict() | {"state": moments})
    gradients = random_like(network.params, dtype=np.float64, seed=2)
    arrays = tensors(gradients, network.batch_stats)
    for name, parameter in twin.named_parameters():
        parameter.grad = arrays[name]
    optimizer.step()
    with jax.enable_x64(True):
        updates, opt_state = optax.adam(1e-2, 0.5, 0.9).update(gradients, network.opt_state)
        ours = network.replace(params=optax.apply_updates(network.params, updates), opt_state=opt_state)
    theirs, _ = from_state_dict(twin.state_dict(), like=(network.params, network.batch_stats))
    theirs = with_adam_state(network.replace(params=theirs), adam_by_name(optimizer.state_dict()["state"], names))
    close = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12)
    jax.tree.map(close, theirs, ours)
    assert theirs.opt_state[0].count == network.opt_state[0].count + 1
