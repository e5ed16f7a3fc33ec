import jax.numpy as jnp
import pytest
import transposed_convolution as explained


@pytest.mark.exhaustive
def test_three_ways_give_the_same_numbers_in_every_geometry():
    found = explained.compare(seed=3)
    assert found.keys() == explained.GEOMETRIES.keys()
    assert all(difference < 1e-6 for _, difference in found.values())
    assert found["4 x 3 -> 12 x 4"][0] == (12, 4)


def test_zero_insertion_of_one_pixel_draws_the_kernel():
    geometry, _, _ = explained.GEOMETRIES["1 -> 4"]
    kernel = jnp.arange(16.0).reshape(4, 4, 1, 1)
    padded, drawn = explained.by_zero_insertion(jnp.ones((1, 1, 1, 1)), kernel, geometry, (0, 0))
    assert padded.shape == (1, 7, 7, 1)
    assert jnp.array_equal(drawn[0], kernel[..., 0])


@pytest.mark.exhaustive
def test_the_figures_are_written(tmp_path, capsys):
    explained.main(["--out", str(tmp_path)])
    names = {"shape_comes_back.png", "zero_insertion.png", "checkerboard.png"}
    assert {path.name for path in tmp_path.iterdir()} == names
    words = capsys.readouterr().out
    assert str(tmp_path / "checkerboard.png") in words
    assert words.count("largest difference") == len(explained.GEOMETRIES)
