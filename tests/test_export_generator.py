import hashlib
import json
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan import cli
from jaxgan.config import Config, Run, from_json
from jaxgan.errors import UserError
from jaxgan.export import FORMATS, export
from jaxgan.export.portable import portable
from jaxgan.methods import build
from jaxgan.methods.autoencoder import Autoencoder
from jaxgan.methods.dcgan import DCGAN
from jaxgan.methods.flow_matching import FlowMatching
from jaxgan.methods.vae import VAE
from jaxgan.methods.vanilla_gan import VanillaGAN
from jaxgan.methods.wgan import WGAN
from jaxgan.nn import noise
from jaxgan.nn.bilinear import transposed_convolution
from jaxgan.runs.load import LoadedRun
from tests.training import save_run

SHAPE, LATENT, COUNT = (28, 28, 1), 3, 5
SMALL = {"latent_size": LATENT, "ema_decay": 0.9}
METHODS = {
    "autoencoder": Autoencoder(encoder="linear", latent_size=LATENT),
    "autoencoder of logits": Autoencoder(hidden_units=4, latent_size=LATENT, loss="bernoulli"),
    "vae": VAE(encoder="conv", width=2, **SMALL),
    "vanilla_gan": VanillaGAN(hidden_units=4, **SMALL),
    "dcgan": DCGAN(width=2, prior="uniform", **SMALL),
    "wgan": WGAN(width=2, latent_size=LATENT),
}

# What a stranger runs, who has neither Flax nor this package.
STRANGER = """
import sys
sys.modules["flax"] = sys.modules["jaxgan"] = None
import numpy as np
from jax import export
folder, *names = sys.argv[1:]
for name in names:
    with open(f"{folder}/{name}.stablehlo", "rb") as file:
        exported = export.deserialize(bytearray(file.read()))
    latents = np.load(f"{folder}/{name}.npy")
    np.savez(f"{folder}/{name}.npz", all=exported.call(latents), first=exported.call(latents[:1]))
"""


def made(method):
    """A run that never was, with numbers of ordinary size in every place of its state."""
    functions, rng = build(method, image_shape=SHAPE), np.random.default_rng(0)
    abstract = jax.eval_shape(functions.init, jax.random.key(0))
    state = jax.tree.map(lambda leaf: jnp.asarray(rng.uniform(0.1, 1, leaf.shape), leaf.dtype), abstract)
    signed = jax.tree.map(lambda leaf: leaf - 0.5 if leaf.ndim > 1 else leaf, state)
    return LoadedRun(Config(method=method, run=Run()), functions, signed, 7, SHAPE, 10)


@pytest.fixture(scope="module")
def runs():
    return {name: made(method) for name, method in METHODS.items()}


def drawn(run):
    """The latents that sampling draws, and the samples."""
    key, generator = jax.random.key(3), run.method.generator(run.state)
    latents = generator.prior.draw(noise.random_bits(key, jnp.arange(COUNT), count=generator.latent_size))
    return np.asarray(latents), np.asarray(jax.jit(run.method.sample, static_argnums=2)(run.state, key, COUNT))


@pytest.mark.slow
def test_a_stranger_with_jax_alone_draws_every_method_s_samples(runs, tmp_path):
    samples = {}
    for name, run in runs.items():
        latents, samples[name] = drawn(run)
        np.save(tmp_path / f"{name}.npy", latents)
        (tmp_path / f"{name}.stablehlo").write_bytes(FORMATS["stablehlo"].encode(run, True).content)
    subprocess.run([sys.executable, "-c", STRANGER, tmp_path, *runs], check=True)
    for name, expected in samples.items():
        assert np.ptp(expected) > 0.1, name
        with np.load(tmp_path / f"{name}.npz") as found:
            np.testing.assert_allclose(found["all"], expected, atol=2e-6, err_msg=name)
            np.testing.assert_allclose(found["first"], expected[:1], atol=2e-6, err_msg=name)


def test_the_artefact_is_for_every_platform_and_any_batch(runs):
    exported = jax.export.deserialize(bytearray(FORMATS["stablehlo"].encode(runs["dcgan"], True).content))
    assert exported.platforms == ("cpu", "cuda", "rocm", "tpu")
    assert [str(aval) for aval in exported.in_avals] == [f"float32[batch,{LATENT}]"]
    assert [str(aval) for aval in exported.out_avals] == ["float32[batch,28,28,1]"]


@pytest.mark.parametrize("name", ["dcgan", "vae"])
def test_the_last_parameters_are_taken_where_they_are_asked_for(name, runs):
    run = runs[name]
    latents, samples = drawn(run._replace(state=run.state.replace(averaged=None)))
    exported = jax.export.deserialize(bytearray(FORMATS["stablehlo"].encode(run, False).content))
    np.testing.assert_allclose(exported.call(latents), samples, atol=2e-6)


def test_a_portable_function_leaves_no_choice_of_platform():
    kernel = np.random.default_rng(0).normal(size=(4, 4, 5, 4)).astype(np.float32)

    def function(y):  # by tiles on CPU, and inside of other calls
        up = jax.jit(lambda y: transposed_convolution(y, kernel, strides=(2, 2), padding=(1, 1)))
        return jax.nn.relu(up(y)) + len(y)

    y = np.random.default_rng(1).normal(size=(2, 3, 3, 4)).astype(np.float32)
    assert "platform_index" in str(jax.make_jaxpr(function)(y))
    assert "platform_index" not in str(jax.make_jaxpr(portable(function))(y))
    assert "lhs_dilation=(2, 2)" in str(jax.make_jaxpr(portable(function))(y))  # what is not for CPU alone
    np.testing.assert_allclose(portable(function)(y), function(y), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", METHODS)
def test_onnx_runtime_draws_the_samples_of_every_method(name, runs):
    pytest.importorskip("jax2onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    latents, samples = drawn(runs[name])
    content, about = FORMATS["onnx"].encode(runs[name], True)
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    assert [given.name for given in session.get_inputs()] == ["latents"]
    for count in (COUNT, 1):
        (images,) = session.run(["images"], {"latents": latents[:count]})
        np.testing.assert_allclose(images, samples[:count], atol=1e-5)
    assert about["largest_difference"] <= 1e-5


def test_onnx_computes_in_float32_whatever_the_run_did(runs):
    pytest.importorskip("jax2onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    config = Config(method=DCGAN(width=2, prior="uniform", compute_dtype="bfloat16", **SMALL), run=Run())
    content, about = FORMATS["onnx"].encode(runs["dcgan"]._replace(config=config), True)
    latents, samples = drawn(runs["dcgan"])
    (images,) = onnxruntime.InferenceSession(content).run(None, {"latents": latents})
    np.testing.assert_allclose(images, samples, atol=1e-5)
    assert about["compute_dtype"] == "float32"


def test_labels_of_a_conditional_run_are_a_second_input():
    run = made(DCGAN(width=2, prior="uniform", conditional=True, **SMALL))
    content, about = FORMATS["stablehlo"].encode(run, True)
    exported = jax.export.deserialize(bytearray(content))
    assert [str(aval) for aval in exported.in_avals] == [f"float32[batch,{LATENT}]", "int32[batch]"]
    assert about["labels"] == {"name": "labels", "shape": ["batch"], "dtype": "int32", "classes": 10}
    latents, samples = drawn(run)
    np.testing.assert_allclose(exported.call(latents, np.arange(COUNT, dtype=np.int32)), samples, atol=2e-6)
    others = exported.call(latents, np.arange(COUNT, dtype=np.int32) + 1)
    assert np.abs(others - samples).max(axis=(1, 2, 3)).min() > 1e-3


@pytest.mark.parametrize(
    "config",
    [
        DCGAN(width=2, prior="uniform", conditional=True, **SMALL),
        FlowMatching(width=2, levels=1, blocks=1, sample_steps=3, conditional=True, guidance=2.0),
    ],
    ids=["dcgan", "flow_matching"],
)
def test_onnx_takes_labels_as_well(config):
    pytest.importorskip("jax2onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    run = made(config)
    content, about = FORMATS["onnx"].encode(run, True)
    latents, samples = drawn(run)
    given = {"latents": latents, "labels": np.arange(COUNT, dtype=np.int32)}
    (images,) = onnxruntime.InferenceSession(content).run(["images"], given)
    np.testing.assert_allclose(images, samples, atol=1e-5)
    assert about["largest_difference"] <= 1e-5


def test_a_conversion_that_makes_other_images_is_refused(runs, monkeypatch):
    jax2onnx = pytest.importorskip("jax2onnx")
    convert = jax2onnx.to_onnx
    monkeypatch.setattr(jax2onnx, "to_onnx", lambda f, *args, **named: convert(lambda z: f(z) + 2e-3, *args, **named))
    with pytest.raises(UserError, match=r"differ from JAX's by 2\.0e-03, allowed is 5e-04"):
        FORMATS["onnx"].encode(runs["vanilla_gan"], True)


@pytest.fixture(scope="module")
def folder(runs, tmp_path_factory):
    """The folder of the DCGAN's run."""
    run, folder = runs["dcgan"], tmp_path_factory.mktemp("runs") / "run"
    config = Config(run.config.method, Run(workdir=folder))
    save_run(config, run.method, states={run.step: run.state})
    return config


@pytest.mark.parametrize("format", FORMATS)
def test_the_manifest_says_what_the_file_takes_gives_and_is_from(format, folder, tmp_path):
    for package in FORMATS[format].needs:
        pytest.importorskip(package)
    out = tmp_path / f"any{FORMATS[format].file_name[-12:]}"
    assert export(folder.run.workdir, format=format, out=out) == out
    found = json.loads((tmp_path / f"{out.name}.json").read_text())
    assert found["file"] == out.name
    assert found["sha256"] == hashlib.sha256(out.read_bytes()).hexdigest()
    assert (found["format"], found["model"], found["network"]) == (format, "DCGAN", "generator")
    assert found["parameters"] == "averaged"
    assert (found["latents"]["shape"], found["latents"]["law"]) == (["batch", LATENT], "uniform")
    assert (found["images"]["shape"], found["images"]["range"]) == (["batch", *SHAPE], [-1, 1])
    assert found["run"]["step"] == 7
    assert from_json(json.dumps(found["run"]["config"]), source="manifest") == folder
    assert found["versions"]["jax"] == jax.__version__
    if format == "stablehlo":
        assert found["needs"] == ["jax", "flatbuffers"]  # without the second deserialize raises ImportError


def test_the_manifest_says_how_far_samples_of_the_run_are_truncated(runs):
    told = FORMATS["stablehlo"].encode(made(DCGAN(width=2, truncation=0.5, **SMALL)), True).about["latents"]
    assert told["truncation"] == "samples of the run multiply all numbers by 0.5"
    assert "truncation" not in FORMATS["stablehlo"].encode(runs["dcgan"], True).about["latents"]


@pytest.fixture
def not_exported(refused):
    """The one line with which the command is refused, which leaves everything below a folder as it was."""
    return lambda root, *argv: refused(cli.main, "export", *argv, root=root)


def test_an_unknown_format_is_refused_with_the_nearest(tmp_path, not_exported):
    assert "did you mean 'onnx'?" in not_exported(tmp_path, tmp_path, "--format", "onx")
    with pytest.raises(UserError, match="did you mean 'stablehlo'"):
        export(tmp_path, format="stable-hlo")


@pytest.mark.parametrize("name", ["stablehlo", "onnx"])
def test_a_missing_package_is_named_with_what_to_install(name, tmp_path, not_exported, monkeypatch):
    for package in FORMATS[name].needs:
        monkeypatch.setitem(sys.modules, package, None)
    line = not_exported(tmp_path, tmp_path / "absent", "--format", name)
    assert f"{name!r} needs {' and '.join(FORMATS[name].needs)}, not installed" in line
    assert "pip install -e '.[export]'" in line


def test_a_folder_in_the_place_of_the_manifest_is_refused(tmp_path, not_exported):
    (tmp_path / "weights.safetensors.json").mkdir()
    out = tmp_path / "weights.safetensors"
    assert "is a folder" in not_exported(tmp_path, tmp_path, "--format", "torch", "--out", out)
