import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from jaxgan import interop
from jaxgan.errors import UserError
from jaxgan.methods import build
from jaxgan.methods.vanilla_gan import VanillaGAN

TWINS = Path(__file__).parents[2] / "experiments" / "imperative"
IMAGES = np.random.default_rng(0).integers(0, 256, (70, 28, 28, 1), dtype=np.uint8)


@pytest.mark.parametrize("name", ["vanilla_gan", "dcgan", "wgan", "vae"])
def test_twin_without_torch_says_what_to_install(name):
    program = f"import runpy, sys; sys.modules['torch'] = None; runpy.run_path({str(TWINS / name)!r} + '.py')"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert ended.returncode == 2
    assert ended.stderr == "error: PyTorch is not installed; run python -m pip install -e '.[imperative]'\n"


@pytest.fixture
def twin(tmp_path):
    """A function of flags that trains the vanilla GAN's twin, on three batches per epoch."""
    pytest.importorskip("torch").set_num_threads(1)  # threads that spin suffer from other tests
    from imperative import training
    from imperative.vanilla_gan import vanilla_gan

    defaults = training.Options(workdir=tmp_path / "run", batch_size=20)
    return lambda **flags: training.run(vanilla_gan, dataclasses.replace(defaults, **flags), images=IMAGES)


@pytest.mark.exhaustive
def test_twin_writes_metrics_of_every_epoch_and_samples(twin, tmp_path):
    twin(epochs=2)
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [3, 6]
    assert rows[0].keys() >= {"discriminator_loss", "generator_loss", "real_probability", "fake_probability"}
    samples = np.load(tmp_path / "run" / "samples.npz")["images"]
    assert samples.shape == (256, 28, 28, 1)
    assert samples.dtype == np.uint8


def test_twin_resumed_within_an_epoch_equals_an_unbroken_run(twin, tmp_path):
    import torch

    twin(epochs=2, steps=4)
    stopped = twin(epochs=2)
    unbroken = twin(epochs=2, workdir=tmp_path / "other")
    for name, tensor in unbroken.twin.state_dict().items():
        assert torch.equal(stopped.twin.state_dict()[name], tensor)
    assert (tmp_path / "run" / "metrics.jsonl").read_bytes() == (tmp_path / "other" / "metrics.jsonl").read_bytes()


@pytest.mark.exhaustive
def test_twin_starts_from_exported_weights(twin, tmp_path):
    from safetensors.numpy import save_file

    state = build(VanillaGAN(), image_shape=(28, 28, 1)).init(jax.random.key(0))
    weights = interop.weights(jax.device_get(state))
    save_file(weights, tmp_path / "weights.safetensors")
    before, after = (
        twin(weights=path, steps=1, workdir=tmp_path / str(path is None))
        for path in (tmp_path / "weights.safetensors", None)
    )
    name = "generator.hidden_0.weight"
    moved = lambda training: np.abs(training.twin.state_dict()[name].numpy() - weights[name]).max()
    assert moved(before) < 2e-3 < moved(after)  # one step of Adam moves a weight by 1e-3


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"batch_size": 0}, "--batch-size: 0 is not allowed, it must be between 1 and 70"),
        ({"batch_size": 71}, "--batch-size: 71 is not allowed"),
        ({"checkpoint_every": 0}, "--checkpoint-every: 0 is not allowed"),
        ({"steps": 0}, "--steps: 0 is not allowed"),
        ({"weights": Path(__file__)}, "--weights: .* does not fit or is damaged"),
    ],
)
def test_twin_names_a_wrong_flag_and_writes_nothing(twin, tmp_path, flags, words):
    with pytest.raises(UserError, match=words):
        twin(**flags)
    assert not (tmp_path / "run").exists()


def test_twin_refuses_to_resume_another_seed_or_method(twin, tmp_path):
    from imperative import training
    from imperative.vae import VAE

    twin(steps=1)
    with pytest.raises(UserError, match="--seed: 1 is not allowed, the run was started with 0"):
        twin(seed=1)
    with pytest.raises(UserError, match=r"--workdir: .*checkpoint.pt' does not fit or is damaged"):
        training.run(VAE, training.Options(workdir=tmp_path / "run", batch_size=20), images=IMAGES)
