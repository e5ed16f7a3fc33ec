import jax.numpy as jnp
import numpy as np

from jaxgan.methods import Method
from jaxgan.methods.method import Generator
from jaxgan.nn import noise
from jaxgan.report import sheets
from jaxgan.report.latents import draw_plane
from jaxgan.runs.load import LoadedRun
from jaxgan.runs.sampler import batch_key


def as_image(latents, labels):
    """A row of three pixels: two latents and the label."""
    return jnp.concatenate([latents, labels[:, None] / 10], axis=1)[:, None, :, None]


def test_a_plane_has_four_samples_in_its_corners_and_means_between():
    generator = Generator("some", 2, noise.PRIORS["uniform"], 1.0, 10, as_image)
    drawn = draw_plane(generator, side=5, labels=np.array([3, 7])).astype(float)
    first, last = drawn
    bits = noise.random_bits(batch_key(0, jnp.int32(0)), jnp.arange(4), count=2)
    corners = np.asarray(noise.uniform(bits))
    np.testing.assert_allclose(first[[0, 4, 20, 24], 0, :2, 0], (corners + 1) * 127.5, atol=1)
    np.testing.assert_allclose(first[12, 0, :2, 0], (corners.mean(axis=0) + 1) * 127.5, atol=1)
    method = Method(*3 * [None], generator=lambda state: generator)
    samples = LoadedRun(None, method, None, 0, (1, 3, 1), 10).sample(4, labels=[3, 7])
    np.testing.assert_array_equal(samples[[0, 2]], first[[0, 20]])
    np.testing.assert_array_equal(samples[[1, 3]], last[[4, 24]])
    np.testing.assert_allclose(first[1, 0, :2, 0], ((0.75 * corners[0] + 0.25 * corners[1]) + 1) * 127.5, atol=1)
    assert np.all(first[:, 0, 2] == first[0, 0, 2])
    assert np.all(last[:, 0, 2] > first[:, 0, 2])


def test_frames_fit_the_page_with_the_first_and_the_last():
    frames = {epoch: np.zeros((256, 28, 28, 1), np.uint8) for epoch in range(1, 101)}
    chosen = sheets.choose_frames(frames, runs=1)
    assert (min(chosen), max(chosen), len(chosen), len(chosen[1])) == (1, 100, 24, 64)
    chosen = sheets.choose_frames({epoch: np.zeros((256, 64, 64, 3), np.uint8) for epoch in range(1, 101)}, runs=3)
    assert sum(images.size for images in chosen.values()) <= sheets.BYTES / 3
    assert {1, 100} <= set(chosen)
    assert sheets.side_of_plane((28, 28, 1), sheets=10, runs=2) ** 2 * 7840 <= sheets.BYTES / 2
    assert sheets.columns_of_rows((28, 28, 1), rows=10, runs=9) * 7840 <= sheets.BYTES / 18
