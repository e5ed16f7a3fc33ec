"""Runs of arrays and networks that a program holds: as those of files and configs, and refused with others."""

import json
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn
from flax import nnx

import jaxgan
from jaxgan import cli
from jaxgan.config import Config, Run, changed_fields
from jaxgan.errors import UserError
from jaxgan.methods import ModelState, NetworkState, build
from jaxgan.methods.gan import gan
from jaxgan.methods.optimization import adam
from jaxgan.methods.vanilla_gan import VanillaGAN
from jaxgan.nn import mlp
from jaxgan.report.page import write_report
from jaxgan.runs import fingerprint, launch
from jaxgan.runs.task import described, digests_of, prepare
from jaxgan.runs.workdir import Workdir, begin
from tests.training import content, files_below

SHAPE = (6, 5, 1)
IMAGES = np.random.default_rng(0).integers(0, 256, (130, 6, 5), dtype=np.uint8)
BUILT_IN = VanillaGAN(latent_size=3, hidden_units=8)


class Generator(nn.Module):
    shape: tuple[int, ...] = SHAPE
    bias: bool = False
    norm: bool = False

    @nn.compact
    def __call__(self, latents, *, train=False):
        h = nn.BatchNorm(use_running_average=not train)(latents) if self.norm else latents
        return jnp.tanh(nn.Dense(np.prod(self.shape), use_bias=self.bias)(h)).reshape(-1, *self.shape)


class Discriminator(nn.Module):
    logits: int = 1

    @nn.compact
    def __call__(self, images, *, train=False):
        h = nn.Dense(self.logits)(images.reshape(len(images), -1))
        return h[:, 0] if self.logits == 1 else h


GENERATOR, DISCRIMINATOR = Generator(), Discriminator()


def own(generator=GENERATOR, discriminator=DISCRIMINATOR, rate=1e-3, optimizer=optax.sgd, **options):
    how = {"generator_optimizer": optimizer(rate), "discriminator_optimizer": optimizer(1e-3)} | options
    return gan(generator, discriminator, **{"image_shape": SHAPE, "latent_size": 3} | how)


def same_as_built_in(image_shape, classes, **devices):
    """The networks, the optimizers and the prior of the vanilla GAN, put together by hand."""
    networks = mlp.Generator(image_shape, (8,)), mlp.Discriminator((8,))
    return own(*networks, image_shape=image_shape, optimizer=adam, **devices)


def a_run(folder, method=None, **fields):
    small = {"epochs": 1, "batch_size": 20, "checkpoint_every": 1, "sample_epochs": (), "devices": 1}
    run = Run(workdir=folder, **{**small, **fields})
    return Config(run=run) if method is None else Config(method, run)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of one epoch of one's own networks on one's own arrays, only to be read."""
    folder = tmp_path_factory.mktemp("own") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(launch.tracking, "draw", lambda *args, **how: [])
        launch.run(a_run(folder), dataset=IMAGES, method=own())
    return folder


def test_own_networks_take_the_step_of_the_method_that_has_the_same():
    how = {"image_shape": SHAPE, "classes": 10}
    methods = build(Config().method, method=same_as_built_in, **how), build(BUILT_IN, **how)
    mine, theirs = (fingerprint.fingerprint(method, image_shape=SHAPE, batch_size=4) for method in methods)
    assert mine == theirs
    with jax.disable_jit():
        assert fingerprint.fingerprint(methods[0], image_shape=SHAPE, batch_size=4) == mine


def test_a_run_is_loaded_and_sampled_with_its_method_alone(trained):
    assert jaxgan.load_run(str(trained), method=own()).sample(3).shape == (3, *SHAPE)
    with pytest.raises(UserError, match=r"^method=: differs from .*Dense_0/bias is float32\(30,\), not absent; give"):
        jaxgan.load_run(trained, method=own(Generator(bias=True)))
    with pytest.raises(UserError, match=r"^method=: this run's method is code.* jaxgan\.load_run\(workdir, method="):
        jaxgan.load_run(trained)


@pytest.mark.parametrize("command", ["sample", "evaluate", "figures", "export --format stablehlo"])
def test_a_command_says_in_one_line_that_a_method_is_code(trained, command, refused):
    name, *flags = command.split()
    error = refused(cli.main, name, trained, *flags)
    assert "this run's method is code, so no command can build it; in Python pass it to" in error


def test_a_page_of_an_own_method_says_what_is_missing(trained, tmp_path):
    notes = write_report([trained], tmp_path / "page.html")
    assert len(notes) == 2
    assert "No images were drawn from the checkpoint: method=: this run's method is code" in notes[0]
    assert "Nearest training images are not shown: --data: the images of this run are arrays" in notes[1]
    assert "generator_loss" in (tmp_path / "page.html").read_text()


@pytest.mark.parametrize(
    ("method", "images", "words"),
    [
        (own(rate=2e-3), IMAGES, "method=: its step differs from that of the run in"),
        (own(truncation=0.5), IMAGES, "method=: its sample differs from that of the run in"),
        (own(Generator(bias=True)), IMAGES, "method=: differs from the method of the run in .*/Dense_0/bias is"),
        (None, IMAGES, "method=: this run's method is code"),
        (own(), 255 - IMAGES, "--data: 'dataset=' has changed since"),
        (own(), None, r"--workdir: .* --data \(dataset= in the run, mnist asked for\)"),
        (own(Generator(shape=(5, 6, 1))), IMAGES, r"generator: its images are of shape \(5, 6, 1\), .* \(6, 5, 1\)"),
        (own(discriminator=Discriminator(2)), IMAGES, r"discriminator: its logits are of shape \(20, 2\) for 20"),
    ],
)
def test_a_run_goes_on_with_nothing_but_its_own(trained, method, images, words):
    before = files_below(trained)
    with pytest.raises(UserError, match=f"^{words}"):
        launch.run(a_run(trained, epochs=2), dataset=images, method=method)
    assert files_below(trained) == before


def test_under_another_version_a_changed_program_is_a_warning(trained, caplog):
    kept = fingerprint.Fingerprint(**json.loads(Workdir(trained).method.read_text()))
    changed = kept._replace(functions={"step": "another"})
    fingerprint.require_same(Workdir(trained), changed._replace(versions={"jax": "0.0.1"}))
    assert "the run started with jax " in caplog.text
    with pytest.raises(UserError, match="its step differs from that of the run"):
        fingerprint.require_same(Workdir(trained), changed)


class Counted(NamedTuple):
    step: jax.Array


def toy_method(**changes):
    """A method of no networks, as a user may write one."""
    state = ModelState(jnp.zeros((), jnp.int32), NetworkState({"w": jnp.zeros(2)}, {}, ()))
    functions = {
        "init": lambda key: state,
        "step": lambda state, batch, key: (state.replace(step=state.step + 1), {"loss": jnp.zeros(())}),
        "sample": lambda state, key, count: jnp.zeros((count, *SHAPE)),
    }
    return jaxgan.Method(**{**functions, **changes})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"init": lambda key: {"w": jnp.zeros(2)}}, "its state must have the fields `step`, an int32"),
        ({"init": lambda key: NetworkState(jnp.zeros(2), {}, ())}, "its state must have the fields"),
        ({"init": lambda key: Counted(jnp.zeros((), jnp.int32))}, "its state must have the fields"),
        (
            {"step": lambda state, batch, key: (state.replace(averaged=jnp.zeros(3)), {})},
            "its step returns a state whose",
        ),
        ({"step": lambda state, batch, key: (state, {"loss": jnp.zeros(3)})}, "its metric 'loss' is of shape"),
        ({"step": lambda state, batch, key: (state, {"step": jnp.zeros(())})}, "its metric 'step' has the name of"),
        ({"sample": lambda state, key, count: jnp.zeros((count, 2, 2, 1))}, "4 of its samples are of shape"),
    ],
)
def test_a_method_that_breaks_its_promises_is_refused(changes, words):
    with pytest.raises(UserError, match=f"^method=: {words}"):
        fingerprint.fingerprint(toy_method(**changes), image_shape=SHAPE, batch_size=4)


def test_a_constant_array_that_a_step_closes_over_counts():
    def found(scale):
        constant = np.array([1.0, scale], np.float32)
        step = lambda state, batch, key: (state, {"loss": jnp.sum(jnp.asarray(constant) * state.step)})
        return fingerprint.fingerprint(toy_method(step=step), image_shape=SHAPE, batch_size=4)

    assert found(2.0) == found(2.0) != found(3.0)


@pytest.mark.parametrize(
    ("fields", "method", "words"),
    [
        ({"devices": 2}, own(), "--devices: more than 1 splits a batch, .* pass method= a function"),
        ({"accumulate": 2}, own(), "--accumulate: 2 splits a batch, .* pass method= a function"),
        ({"sweep": ("rate=1,2",)}, own(), "--sweep: field: 'rate' is not known, no value is allowed"),
        ({"input": "stream"}, own(), "--input: 'stream' is not allowed with dataset="),
        ({"data": "kmnist"}, own(), "dataset=: the config names other images, --data 'kmnist'"),
        ({"evaluate_every": 1}, own(), "--evaluate-every: pictures without labels and arrays of a program"),
        ({}, lambda image_shape: None, "method=: it must take the keywords image_shape, classes, axis_name"),
        ({}, Generator, "method=: it must take the keywords image_shape, .* 'image_shape'"),
        ({}, lambda **how: None, "method=: NoneType is not allowed, it must be a Method"),
        ({}, "dcgan", "method=: str is not allowed, it must be a Method"),
        ({"method": BUILT_IN}, own(), "method=: the config already describes Vanilla GAN"),
    ],
)
def test_what_an_own_method_or_arrays_cannot_do_is_refused(tmp_path, fields, method, words):
    with pytest.raises(UserError, match=f"^{words}"):
        launch.run(a_run(tmp_path / "run", **fields), dataset=IMAGES, method=method)
    assert not (tmp_path / "run").exists()


def test_a_run_that_replaces_another_forgets_its_method(tmp_path):
    Workdir(tmp_path).method.write_text("{}")
    begin(Workdir(tmp_path), a_run(tmp_path), resume=False)
    assert not Workdir(tmp_path).method.exists()
    assert changed_fields(Config(jaxgan.Own("Mine")), Config(jaxgan.Own("Yours"))) == []


def test_processes_compare_what_their_programs_gave_them(tmp_path):
    config = described(a_run(tmp_path), dataset=IMAGES, method=own())
    given = (IMAGES, own()), (255 - IMAGES, own(rate=2e-3))
    one, other = (digests_of(prepare(config, dataset=images, method=method)) for images, method in given)
    assert {name for name in one if one[name] != other[name]} == {"dataset", "method_step"}
    assert one.keys() == other.keys() == {"dataset", "method_step", "method_sample"}


@pytest.mark.slow
def test_arrays_train_as_the_file_that_holds_them(undrawn, tmp_path):
    np.savez(tmp_path / "set.npz", images=IMAGES, labels=np.arange(130) % 3)
    from_file = {"data": str(tmp_path / "set.npz"), "data_dir": tmp_path / "cache"}
    launch.run(a_run(tmp_path / "file", BUILT_IN, **from_file))
    launch.run(a_run(tmp_path / "held", BUILT_IN), dataset=np.load(tmp_path / "set.npz"))
    assert Workdir(tmp_path / "held").metrics.read_bytes() == Workdir(tmp_path / "file").metrics.read_bytes()


@pytest.mark.slow
def test_a_run_of_own_networks_is_that_of_the_method_with_the_same(undrawn, tmp_path):
    mine, theirs = tmp_path / "mine", tmp_path / "theirs"
    launch.run(a_run(theirs, BUILT_IN), dataset=IMAGES)
    launch.run(a_run(mine), dataset=IMAGES, method=same_as_built_in)
    assert Workdir(mine).metrics.read_bytes() == Workdir(theirs).metrics.read_bytes()
    launch.run(a_run(theirs, BUILT_IN, epochs=2), dataset=IMAGES)
    launch.run(a_run(mine, epochs=2, devices=2), dataset=IMAGES, method=same_as_built_in)
    shared, alone = (json.loads(Workdir(folder).metrics.read_text().splitlines()[1]) for folder in (mine, theirs))
    assert shared == pytest.approx(alone, rel=1e-4)


class NNXGenerator(nnx.Module):
    def __init__(self, units, *, rngs):
        self.hidden = nnx.Linear(3, units, rngs=rngs)
        self.norm = nnx.BatchNorm(units, rngs=rngs)
        self.output = nnx.Linear(units, np.prod(SHAPE), rngs=rngs)

    def __call__(self, latents, *, train=False):
        h = nnx.relu(self.norm(self.hidden(latents), use_running_average=not train))
        return jnp.tanh(self.output(h)).reshape(-1, *SHAPE)


class NNXDiscriminator(nnx.Module):
    def __init__(self, *, rngs):
        self.output = nnx.Linear(np.prod(SHAPE), 1, rngs=rngs)

    def __call__(self, images, *, train=False):
        return self.output(images.reshape(len(images), -1))[:, 0]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["linen", "nnx"])
def test_a_resumed_run_of_own_networks_ends_as_an_unbroken_one(kind, tmp_path):
    bridged = nnx.bridge.ToLinen(NNXGenerator, args=(8,)), nnx.bridge.ToLinen(NNXDiscriminator)
    make = lambda: own(*(bridged if kind == "nnx" else (Generator(norm=True),)), optimizer=adam, ema_decay=0.9)
    start = lambda name, epochs: launch.run(
        a_run(tmp_path / name, epochs=epochs, sample_epochs=(1, 3)), dataset=IMAGES, method=make()
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(launch.tracking, "draw", lambda *args, **how: [])
        start("whole", 3)
        start("parts", 1)
    start("parts", 3)
    files, state = content(tmp_path / "parts")
    assert files == content(tmp_path / "whole")[0]
    jax.tree.map(np.testing.assert_array_equal, state, content(tmp_path / "whole")[1])
    assert {path.stem for path in Workdir(tmp_path / "parts").figures.iterdir()} == {"training", "progress", "samples"}
    sampled = jaxgan.load_run(tmp_path / "parts", method=make()).sample(4)
    assert sampled.std() > 0


@pytest.mark.slow
def test_own_networks_are_evaluated_by_pixels_and_trained_as_replicas(trained, undrawn, tmp_path):
    found = jaxgan.evaluate_run(trained, dataset=IMAGES, method=own(), count=100)
    assert found.protocol.features == "pixels"
    with pytest.raises(UserError, match=r"^--data: 'dataset=' has changed"):
        jaxgan.evaluate_run(trained, dataset=255 - IMAGES, method=own())
    launch.run(a_run(tmp_path / "two", replicas=2), dataset=IMAGES, method=own())
    rows = [json.loads(line) for line in Workdir(tmp_path / "two").metrics.read_text().splitlines()]
    alone = json.loads(Workdir(trained).metrics.read_text())
    assert rows[0]["generator_loss"] == pytest.approx(alone["generator_loss"], rel=1e-5)
    assert jaxgan.load_run(tmp_path / "two", replica=1, method=own()).config.run.seed == 1
