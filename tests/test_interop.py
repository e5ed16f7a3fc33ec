import jax
import numpy as np
import optax
import pytest

from jaxgan.errors import UserError
from jaxgan.interop import adam_state, from_state_dict, state_dict, weights, with_weights
from jaxgan.methods import NetworkState
from tests.random_states import CONFIGS, SPECTRAL, WIDTH, assert_same, networks_of, random_state


@pytest.fixture(params=CONFIGS)
def config(request):
    return CONFIGS[request.param]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_weights_and_statistics_of_every_method_round_trip_exactly(config, dtype):
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
def test_adams_moments_have_the_names_and_layouts_of_parameters(config, dtype):
    for network in networks_of(random_state(config, dtype=dtype)):
        moments, (adam,) = adam_state(network), [part for part in network.opt_state if hasattr(part, "mu")]
        assert moments.step == adam.count
        for ours, tree in ((moments.exp_avg, adam.mu), (moments.exp_avg_sq, adam.nu)):
            expected = state_dict(tree, network.batch_stats)
            assert_same(ours, {name: expected[name] for name in ours})
            assert len(ours) == len(jax.tree.leaves(network.params))


def test_conversion_shares_no_memory_with_its_source():
    state = random_state(CONFIGS["vanilla_gan"])
    out, before = weights(state), random_state(CONFIGS["vanilla_gan"])
    moments, restored = adam_state(state.generator), with_weights(state, out)
    for array in jax.tree.leaves((out, moments.exp_avg, moments.exp_avg_sq)):
        array += 1
    assert_same((state, restored.generator.params), (before, before.generator.params))
    assert_same(restored.averaged, before.generator.params)
    assert not any(
        np.shares_memory(*pair)
        for pair in zip(*map(jax.tree.leaves, (restored.averaged, restored.generator.params)), strict=True)
    )


def test_incoming_arrays_take_the_dtype_of_what_they_replace():
    out = weights(random_state(CONFIGS["dcgan"], dtype=np.float64))
    restored = with_weights(random_state(CONFIGS["dcgan"], dtype=np.float32), out)
    assert {leaf.dtype for leaf in jax.tree.leaves(restored.generator.params)} == {np.dtype(np.float32)}
    for name, array in weights(restored).items():
        np.testing.assert_array_equal(array, out[name].astype(np.float32))


def test_averaged_parameters_replace_the_last_ones_where_kept():
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


def test_singular_vectors_give_the_singular_value_of_pytorchs_matrix():
    state = random_state(SPECTRAL)
    params, stats = state.discriminator.params["conv_1"], state.discriminator.batch_stats["conv_1"]
    out = state_dict(params, {"u": stats["u"], "v": stats["v"]})  # a bare layer has no prefix
    matrix = out["parametrizations.weight.original"].reshape(len(out["bias"]), -1)
    theirs = out["parametrizations.weight.0._u"] @ matrix @ out["parametrizations.weight.0._v"]
    assert theirs == pytest.approx(stats["v"] @ params["kernel"].reshape(-1, 2 * WIDTH) @ stats["u"], rel=1e-12)


def test_count_of_batches_is_ignored_only_beside_running_statistics():
    state = random_state(CONFIGS["dcgan"])
    out = weights(state)
    assert_same(
        with_weights(state, out | {"generator.norm_1.num_batches_tracked": np.array(7)}), with_weights(state, out)
    )
    with pytest.raises(UserError, match=r"generator\.conv_1\.num_batches_tracked: unknown"):
        with_weights(state, out | {"generator.conv_1.num_batches_tracked": np.array(7)})


def test_wrong_name_or_shape_is_named_with_what_was_expected():
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
    with pytest.raises(UserError, match=r"^lstm\.gates: a leaf of this name and shape \(2, 2\)"):
        state_dict({"lstm": {"gates": np.zeros((2, 2))}})


@pytest.mark.parametrize(
    "optimizer", [optax.rmsprop(1e-3), optax.sgd(1e-3), optax.chain(optax.adam(1e-3), optax.trace(0.9))]
)
def test_only_adam_has_a_counterpart(optimizer):
    params = {"output": {"kernel": np.zeros((2, 3))}}
    network = NetworkState(params, {}, optimizer.init(params))
    with pytest.raises(UserError, match=r"only the state of optax\.adam has a counterpart"):
        adam_state(network)
