import io
import re
import shutil
import sys

import jax
import numpy as np
import pytest
from PIL import Image

from jaxgan import cli
from jaxgan.errors import UserError
from jaxgan.nn import noise
from jaxgan.runs.load import draw
from jaxgan.runs.sample import _animation, sample_run
from tests.tiny import a_run, tiny


def test_ways_lead_from_each_sample_to_the_next_and_back_to_the_first():
    run = a_run(tiny("vanilla_gan"))
    ends, _ = draw(run, count=3)
    images, labels = draw(run, count=3, way=4)
    assert (images.shape, labels) == ((12, *run.image_shape), None)
    np.testing.assert_array_equal(images[::4], ends)
    steps = np.abs(np.diff(np.concatenate([images, images[:1]]).astype(int), axis=0)).mean(axis=(1, 2, 3))
    assert steps.max() < np.abs(ends[0].astype(int) - ends[1]).mean()


def test_normal_latents_go_on_an_arc_and_others_on_a_line():
    starts, ends = (jax.random.normal(jax.random.key(i), (5, 40)) for i in (0, 1))
    half = np.float32(0.5)
    arc, line = (noise.interpolate(starts, ends, half, noise.PRIORS[name]) for name in ("normal", "uniform"))
    np.testing.assert_allclose(line, (starts + ends) / 2, rtol=1e-5)
    lengths = np.linalg.norm(np.stack([starts, ends, arc]), axis=-1)
    assert np.all(lengths[2] > 0.9 * lengths[:2].min(axis=0))
    np.testing.assert_allclose(noise.interpolate(starts, starts, half, noise.PRIORS["normal"]), starts, rtol=1e-5)


def frames_of(path):
    with Image.open(path) as image:
        return getattr(image, "n_frames", 1), image.size


def test_an_animation_walks_between_samples_or_through_training(folder, tmp_path, capsys):
    cli.main(["sample", str(folder), "--walk", "--count", "2", "--animate", str(tmp_path / "walk.gif")])
    assert frames_of(tmp_path / "walk.gif") == (48, (280, 280))
    (folder / "samples").mkdir(exist_ok=True)
    for epoch in (1, 20):
        np.save(folder / "samples" / f"epoch_{epoch:04}.npy", np.full((256, 28, 28, 1), epoch, np.uint8))
    cli.main(["sample", str(folder), "--animate", str(tmp_path / "training.webp")])
    count, (width, height) = frames_of(tmp_path / "training.webp")
    assert count == 2
    assert width == height >= 8 * 28
    shutil.rmtree(folder / "samples")
    assert capsys.readouterr().out.split() == [str(tmp_path / "walk.gif"), str(tmp_path / "training.webp")]


@pytest.mark.parametrize("suffix", [".gif", ".webp"])
def test_frames_are_enlarged_to_what_every_format_takes(suffix):
    narrow = np.zeros((2, 3, 200, 1), np.uint8)
    narrow[1] = 255
    with Image.open(io.BytesIO(_animation(narrow, suffix, seconds=1))) as animation:
        assert animation.size == (81 * 200, 81 * 3)
    with pytest.raises(UserError, match="--animate: frames have 20000 pixels on a side, at most 16383"):
        _animation(np.zeros((1, 1, 20_000, 1), np.uint8), suffix, seconds=1)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--animate", "a.avi"], "--animate: 'a.avi' has the suffix '.avi', choose from .gif, .webp, .mp4, such as"),
        (["--animate", "a.mp4"], "--animate: '.mp4' needs ffmpeg, which is missing; choose .gif or .webp, or run"),
        (["--animate", "a.gif"], "saved no samples during training, add --walk"),
        (["--animate", "a.gif", "--replica", "2"], "--replica: 2 is not allowed, .* has only replica 0"),
        (["--animate", "a.gif", "--labels", "7"], "--labels: an animation of training uses the saved samples"),
        (["--animate", "a.gif", "--truncation", "0"], "--truncation: an animation of training uses"),
        (["--animate", "a.gif", "--last"], "--last: an animation of training uses"),
        (["--animate", "a.gif", "--step", "5"], "--animate: .* leave out --best and --step"),
        (["--walk", "--interpolate"], "--walk: is not allowed with --interpolate"),
        (["--step", "4"], "--step: 4 is not allowed, .* has checkpoints of 5"),
        (["--interpolate", "--count", "501"], "--count: 501 is not allowed with interpolation"),
    ],
)
def test_a_way_or_a_step_that_is_not_there_is_one_line(folder, tmp_path, monkeypatch, refused, flags, words):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    assert re.search(words, refused(cli.main, "sample", folder, *flags))
    assert list(tmp_path.iterdir()) == []


def test_a_picture_of_ways_has_a_row_for_each_sample(folder, tmp_path):
    sample_run(folder, out=tmp_path / "ways.png", count=3, way=10, step=5)
    with Image.open(tmp_path / "ways.png") as image:
        assert image.width > 3 * image.height
