"""Samples for other tools: a folder of PNGs that torch-fidelity measures, and a video that ffmpeg reads."""

import subprocess
import sys
import types

import numpy as np
import pytest
from PIL import Image

from jaxgan import cli
from jaxgan.errors import UserError
from jaxgan.evaluation.metrics import frechet_distance, moments
from jaxgan.runs import sample


@pytest.fixture
def torch_fidelity(monkeypatch):
    """The package, with a stand-in for torchvision where none goes with this torch: it takes little of it."""
    torch = pytest.importorskip("torch")
    try:
        import torchvision  # noqa: F401
    except (ImportError, RuntimeError):
        names = ["", ".datasets", ".transforms", ".transforms.functional"]
        made = [types.ModuleType(f"torchvision{name}") for name in names]
        for module in made:
            monkeypatch.setitem(sys.modules, module.__name__, module)
        made[1].__dict__.update(dict.fromkeys(("CIFAR10", "CIFAR100", "STL10"), object))
        made[0].transforms, made[2].Compose = made[2], lambda steps: steps[0]
        made[3].pil_to_tensor = lambda image: torch.from_numpy(np.array(image)).permute(2, 0, 1)
    return pytest.importorskip("torch_fidelity")


@pytest.mark.slow
def test_torch_fidelity_finds_our_frechet_distance_in_folders_of_samples(tmp_path, torch_fidelity):
    import torch

    class Blocks(torch_fidelity.FeatureExtractorBase):
        """Means of blocks of pixels: features that need no download."""

        def __init__(self, name, features_list, **how):
            super().__init__(name, features_list)

        def forward(self, images):
            return (torch.nn.functional.avg_pool2d(images.float()[:, 0], 4).flatten(1),)

        get_provided_features_list = staticmethod(lambda: ("blocks",))
        get_default_feature_layer_for_metric = staticmethod(lambda metric: "blocks")
        can_be_compiled = staticmethod(lambda: False)
        get_dummy_input_for_compile = staticmethod(lambda: torch.zeros(1, 3, 28, 28, dtype=torch.uint8))

    folders = [tmp_path / "sevens", tmp_path / "ones"]
    for folder, label in zip(folders, "71", strict=True):
        cli.main(["sample", "r3gan", "--labels", label, "--count", "80", "--out", f"{folder}/"])
    torch_fidelity.register_feature_extractor("blocks", Blocks)
    how = {"cuda": False, "cache": False, "verbose": False, "save_cpu_ram": True, "batch_size": 40}
    found = torch_fidelity.calculate_metrics(
        input1=str(folders[0]), input2=str(folders[1]), feature_extractor="blocks", fid=True, **how
    )
    images = [np.stack([np.asarray(Image.open(path)) for path in sorted(folder.iterdir())]) for folder in folders]
    features = [x.reshape(80, 7, 4, 7, 4).mean(axis=(2, 4)).reshape(80, 49) for x in images]
    assert found["frechet_inception_distance"] == pytest.approx(frechet_distance(*map(moments, features)), rel=1e-3)


def test_a_video_has_all_frames_enlarged_to_even_sides():
    try:
        program = sample._ffmpeg()
    except UserError:
        pytest.skip("there is no ffmpeg")
    frames = np.zeros((3, 61, 37, 3), np.uint8)
    frames[:, :, :, 0] = np.array([0, 120, 240])[:, None, None]
    content = sample._animation(frames, ".mp4", seconds=0.08)
    command = [program, "-loglevel", "error", "-i", "-", "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    raw = subprocess.run(command, input=content, capture_output=True, check=True).stdout
    shown = np.frombuffer(raw, np.uint8).reshape(-1, 306, 186, 3)  # five times as large, and a row for even sides
    assert 5 <= len(shown) <= 7  # at 25 a second
    reds = shown[:, :300, :180, 0].mean(axis=(1, 2))
    assert np.all(np.diff(reds) > -5)
    assert (reds[0], reds[-1]) == pytest.approx((0, 240), abs=10)
