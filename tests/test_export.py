import errno
import importlib.metadata
import json
import shutil

import jax
import numpy as np
import pytest
import safetensors
from safetensors.numpy import load_file

import jaxgan
from jaxgan import cli, interop
from jaxgan.config import Config, Run, from_json
from jaxgan.errors import UserError
from jaxgan.export import FORMATS
from jaxgan.methods import build
from jaxgan.methods.classifier import Classifier
from jaxgan.methods.vanilla_gan import VanillaGAN
from jaxgan.runs.load import load_run
from tests.random_states import random_like
from tests.training import raising, save_run, snapshot

UNITS, LATENT, STEPS = 4, 3, 4


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run with checkpoints of two steps, whose numbers are random: its config and its last state."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    method = VanillaGAN(latent_size=LATENT, hidden_units=UNITS, ema_decay=0.9)
    config = Config(method, Run(workdir=folder, data_dir=folder / "absent"))
    functions = build(method, image_shape=(28, 28, 1))
    abstract = jax.eval_shape(functions.init, jax.random.key(0))
    first, last = (random_like(abstract, dtype=np.float32, seed=seed) for seed in (0, 1))
    save_run(config, functions, states={STEPS // 2: first, STEPS: last})
    return config, last


@pytest.fixture
def folder(run, tmp_path):
    """A copy of the run's folder, elsewhere."""
    return shutil.copytree(run[0].run.workdir, tmp_path / "moved")


def export(capsys, *argv):
    cli.main(["export", *map(str, argv), "--format", "torch"])
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    return out.strip()


@pytest.fixture
def not_exported(refused):
    """The one line with which the command is refused, which leaves everything below a folder as it was."""
    return lambda root, *argv: refused(cli.main, "export", *argv, "--format", "torch", root=root)


def test_a_run_comes_back_from_its_folder_which_stays_as_it_was(run, folder):
    (folder / "checkpoints" / "9.orbax-checkpoint-tmp").mkdir()  # what another run at work there would leave
    before = snapshot(folder)
    found = load_run(folder)
    assert snapshot(folder) == before
    assert (found.config, found.step, found.image_shape, found.classes) == (run[0], STEPS, (28, 28, 1), 10)
    jax.tree.map(np.testing.assert_array_equal, jax.device_get(found.state), run[1])
    draw = lambda state, key: found.method.sample(state, key, 2)
    assert jax.eval_shape(draw, found.state, jax.random.key(0)).shape == (2, 28, 28, 1)
    assert {len(leaf.sharding.device_set) for leaf in jax.tree.leaves(found.state)} == {1}


def test_the_file_holds_what_samples_are_drawn_with_and_its_origin(run, folder, capsys):
    path = export(capsys, folder)
    assert path == str(folder / "export" / "weights.safetensors")
    expected = interop.weights(run[1], averaged=True)
    found = load_file(path)
    assert found.keys() == expected.keys()
    jax.tree.map(np.testing.assert_array_equal, found, expected)
    with safetensors.safe_open(path, framework="np") as file:
        metadata = file.metadata()
    assert (metadata["step"], metadata["parameters"]) == (str(STEPS), "averaged")
    assert from_json(metadata["config"], source="metadata") == run[0]


def test_the_last_parameters_are_written_where_asked_for(run, folder, tmp_path, capsys):
    out = tmp_path / "last.safetensors"
    assert export(capsys, folder, "--out", out, "--last") == str(out)
    found, averaged = load_file(out), interop.weights(run[1], averaged=True)
    jax.tree.map(np.testing.assert_array_equal, found, interop.weights(run[1]))
    assert not np.array_equal(found["generator.output.weight"], averaged["generator.output.weight"])
    assert not (folder / "export").exists()
    plain = load_run(folder)
    without_average = tmp_path / "plain.safetensors"
    never_averaged = plain._replace(state=plain.state.replace(averaged=None))
    without_average.write_bytes(FORMATS["torch"].encode(never_averaged, True).content)
    for path in (out, without_average):
        with safetensors.safe_open(path, framework="np") as file:
            assert file.metadata()["parameters"] == "last"


def test_pytorch_loads_the_file_strictly_and_draws_the_same_images(run, folder, capsys):
    torch = pytest.importorskip("torch")
    from safetensors.torch import load_file as load_tensors

    linear, modules = torch.nn.Linear, torch.nn.ModuleDict
    twin = modules(
        {
            "generator": modules({"hidden_0": linear(LATENT, UNITS), "output": linear(UNITS, 784)}),
            "discriminator": modules({"hidden_0": linear(784, UNITS, bias=False), "output": linear(UNITS, 1)}),
        }
    )
    twin.load_state_dict(load_tensors(export(capsys, folder)), strict=True)
    z = np.random.default_rng(0).uniform(-1, 1, (5, LATENT)).astype(np.float32)
    hidden = torch.nn.functional.leaky_relu(twin.generator.hidden_0(torch.from_numpy(z)), 0.01)
    theirs = torch.tanh(twin.generator.output(hidden)).detach().numpy().reshape(5, 28, 28, 1)
    module = build(run[0].method, image_shape=(28, 28, 1)).networks["generator"].module
    np.testing.assert_allclose(module.apply({"params": run[1].averaged}, jax.numpy.asarray(z)), theirs, atol=1e-6)


def test_the_command_offers_every_format(capsys):
    with pytest.raises(SystemExit):
        cli.main(["export", "--help"])
    assert f"--format {{{','.join(FORMATS)}}}" in capsys.readouterr().out


def test_a_classifier_s_run_is_refused_since_it_draws_nothing(tmp_path, not_exported):
    config = Config(Classifier(width=2), Run(workdir=tmp_path / "run"))
    method = build(config.method, image_shape=(28, 28, 1))
    abstract = jax.eval_shape(method.init, jax.random.key(0))
    save_run(config, method, states={3: random_like(abstract, dtype=np.float32, seed=0)})
    line = not_exported(tmp_path, tmp_path / "run")
    assert "a run of digit_classifier draws no images, so there is nothing to export" in line


def test_a_folder_without_a_run_is_refused(tmp_path, not_exported):
    assert "absent': no such folder" in not_exported(tmp_path, tmp_path / "absent")
    assert "holds no run, it has no config.json" in not_exported(tmp_path, tmp_path)
    (tmp_path / "file").touch()
    assert "file' is a file, it must be a folder" in not_exported(tmp_path, tmp_path / "file")


def test_a_run_without_a_checkpoint_or_with_a_damaged_one_is_refused(folder, not_exported):
    for path in (folder / "checkpoints" / str(STEPS)).rglob("*"):
        if path.is_file():
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    line = not_exported(folder, folder)
    assert line.startswith(f"jaxgan: error: the checkpoint '{folder / 'checkpoints' / str(STEPS)}' is damaged")
    assert f"to use step {STEPS // 2}" in line
    shutil.rmtree(folder / "checkpoints")
    assert "this run of vanilla_gan has no checkpoint yet" in not_exported(folder, folder)


def test_a_damaged_config_is_refused(folder, not_exported):
    (folder / "config.json").write_text((folder / "config.json").read_text().replace("vanilla_gan", "vanilla_gam"))
    assert "did you mean 'vanilla_gan'?" in not_exported(folder, folder)
    tree = json.loads((folder / "config.json").read_text().replace("vanilla_gam", "vanilla_gan"))
    tree["run"]["data"] = "minst"
    (folder / "config.json").write_text(json.dumps(tree))
    with pytest.raises(UserError, match="did you mean 'mnist'"):
        load_run(folder)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("", "is a folder, name a file in it"),
        ("weights.pt", "has the suffix '.pt', choose from .safetensors, such as "),
        ("absent/weights.safetensors", "absent' is not a folder"),
    ],
)
def test_an_impossible_file_is_refused_before_the_run_is_read(name, words, tmp_path, not_exported):
    line = not_exported(tmp_path, tmp_path / "absent", "--out", f"{tmp_path}/{name}")
    assert line.startswith("jaxgan: error: --out: ")
    assert words in line


def test_a_folder_for_the_file_that_cannot_be_made_is_named(folder, not_exported):
    (folder / "export").touch()
    assert "weights.safetensors' cannot be written (File exists)" in not_exported(folder, folder)


def test_a_full_disk_leaves_the_former_file_and_its_manifest(folder, capsys, monkeypatch):
    export(capsys, folder, "--last")
    before = {path: path.read_bytes() for path in (folder / "export").iterdir()}
    monkeypatch.setattr("os.replace", raising(errno.ENOSPC))
    with pytest.raises(SystemExit, match="1"):
        export(capsys, folder)
    error = capsys.readouterr().err
    assert "weights.safetensors' cannot be written (No space left on device)" in error
    assert error.count("\n") == 1
    assert {path: path.read_bytes() for path in (folder / "export").iterdir()} == before


def test_a_clone_that_is_not_installed_has_no_version(monkeypatch):
    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    assert jaxgan.__version__ == importlib.metadata.version("jaxgan")
    monkeypatch.setattr(importlib.metadata, "version", missing)
    assert jaxgan.__version__ == "unknown"
