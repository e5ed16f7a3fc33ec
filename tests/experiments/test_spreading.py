import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "experiments"))

from comparing import patches, spreading
from comparing.designs import EXPERIMENTS, FUNCTIONAL, PYTORCH
from comparing.options import METHODS
from comparing.spread_run import Spec, share_noise


@pytest.mark.parametrize("method", METHODS)
def test_the_patches_fit_the_twins_as_they_are(method, tmp_path):
    patched = patches.apply(patches.PATCHES[method], tmp_path)
    diff = patches.changes(patched)
    assert "+        dist.init_process_group(" in diff
    assert ("SyncBatchNorm" in diff) == (method in ("dcgan", "wgan"))
    for path in (patched / "imperative").glob("*.py"):
        compile(path.read_text(), str(path), "exec")


def test_a_patch_that_does_not_fit_is_named(tmp_path, monkeypatch):
    shutil.copytree(patches.IMPERATIVE, tmp_path / "twins", ignore=shutil.ignore_patterns("__pycache__"))
    training = tmp_path / "twins" / "training.py"
    training.write_text(training.read_text().replace("self.step += 1", "self.step = self.step + 1"))
    monkeypatch.setattr(patches, "IMPERATIVE", tmp_path / "twins")
    with pytest.raises(RuntimeError, match=r"training\.patch does not fit"):
        patches.apply(("training",), tmp_path / "patched")


def test_the_size_of_a_diff_counts_lines_of_code():
    diff = '--- a/x.py\n+++ b/x.py\n@@ -1,2 +1,5 @@\n+    """Says."""\n+# why\n+\n+a = 1\n-b = 1\n+b = 2\n c = 3\n'
    assert patches.size(diff) == {"added": 2, "removed": 1}


def test_lines_for_devices_are_those_that_name_them():
    found = spreading.device_lines()
    text = [line for lines in found.values() for _, line in lines]
    assert any("lax.pmean(" in line for line in text)
    assert any(line.startswith("def spread(") for line in text)
    assert len(found["jaxgan/runtime/devices.py"]) > len(found["jaxgan/methods/gradients.py"]) > 0
    assert "jaxgan/methods/losses.py" not in found


def test_differences_are_relative_to_the_loss_and_to_how_far_training_went():
    one = {"before/w": np.zeros(2), "after/w": np.array([3.0, 4.0]), "metrics/loss": np.array([-2.0, 1.0])}
    several = [
        {"after/w": np.array([3.0, 4.5]), "metrics/loss": np.array([-2.0, 2.0])},
        {"after/w": np.array([3.0, 4.25]), "metrics/loss": np.array([-2.0, 1.0])},
    ]
    assert spreading.differences(one, several) == {"loss": 0.25, "weights": 0.1, "between": 0.25}


def test_processes_draw_together_what_one_draws():
    torch = pytest.importorskip("torch")

    class Twin(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = torch.nn.Sequential(torch.nn.Dropout(0.5))

        def draw_latents(self, count):
            return torch.randn(count, 3)

    def draws(rank, world):
        twin = Twin()
        share_noise(twin, torch, rank=rank, world=world)
        count = 8 // world
        return [twin.draw_latents(count), twin.draw_latents(count), twin.inner(torch.ones(count, 5))]

    one, first, second = draws(0, 1), draws(0, 2), draws(1, 2)
    assert all(torch.equal(a, torch.cat([b, c])) for a, b, c in zip(one, first, second, strict=True))
    assert not torch.equal(one[0], one[1])
    assert set(one[2].unique().tolist()) == {0.0, 2.0}


def test_the_report_shows_sizes_differences_the_patch_and_why_batch_norm_differs():
    gaps = {design: {"loss": 1e-7, "weights": 2e-6, "between": 0.0} for design in (FUNCTIONAL, PYTORCH)}
    of = {"diff": "+a = 1", "size": {"added": 1, "removed": 0}, "refusal": "only on GPU", "differences": gaps}
    measured = {"methods": {"vae": of, "dcgan": of}, "package": {"x.py": [[3, "axis"]]}, "devices": 2, "steps": 20}
    text = spreading.section(measured)
    assert "| vae | 0 | +1 -0 | 1.0e-07 | 1.0e-07 | 2.0e-06 | 2.0e-06 |" in text
    assert text.count("```diff\n+a = 1\n```") == 1  # the same for both methods
    assert "   3 axis" in text
    assert "only on GPU" in text
    assert spreading.summary(measured)[0][1:3] == ("0, a flag", "+1 -0")


@pytest.mark.slow
def test_two_processes_of_the_patched_twin_train_what_one_trains(tmp_path, mnist_dir):
    pytest.importorskip("torch")
    patched, found = patches.apply(patches.PATCHES["vanilla_gan"], tmp_path), []
    for processes, twins in ((1, EXPERIMENTS), (2, patched)):
        paths = (str(twins), str(tmp_path / f"{processes}"), str(tmp_path / f"run{processes}"), str(mnist_dir))
        found.append(spreading.run(Spec("twin", "vanilla_gan", 3, processes, *paths), processes=processes))
    (one,), several = found
    gaps = spreading.differences(one, several)
    assert gaps["between"] == 0
    assert gaps["loss"] < 1e-5
    assert gaps["weights"] < 1e-3
