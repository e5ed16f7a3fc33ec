"""What everyone sees of digits, the metrics say too: by the classifier in the package, on real images."""

import numpy as np
import pytest
import scipy.ndimage

from jaxgan import data
from jaxgan.evaluation import feature_network, protocol

COUNT = 200
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def measured(mnist_dir):
    """Metrics of sets of images, from the best to the worst, against 400 test images."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(feature_network, "FEATURE_BATCH", COUNT)
        return _measure(mnist_dir)


def _measure(mnist_dir):
    network = feature_network.load("mnist")
    train, test = (data.load("mnist", split=split, data_dir=mnist_dir) for split in ("train", "test"))
    test = test._replace(images=test.images[:COUNT], labels=test.labels[:COUNT])
    against = protocol.reference(network, test)
    digits, rng = train.images[:COUNT], np.random.default_rng(0)
    noisy = np.clip(digits + rng.normal(0, 12, digits.shape), 0, 255).astype(np.uint8)
    blurred = scipy.ndimage.gaussian_filter(digits, (0, 2, 2, 0))
    noise = rng.integers(0, 256, digits.shape, dtype=np.uint8)
    sets = {"other digits": digits, "slightly noisy": noisy, "blurred": blurred, "uniform noise": noise}
    return {name: protocol.measure(images, against, seed=0) for name, images in sets.items()}


@pytest.mark.parametrize("metric", ["frechet_distance", "kernel_distance"])
def test_noise_is_farther_than_blur_which_is_farther_than_digits(measured, metric):
    values = [found[metric] for found in measured.values()]
    assert values == sorted(values)
    assert values[-1] > 20 * max(values[0], 1e-3)


@pytest.mark.parametrize("metric", ["precision", "coverage", "density"])
def test_neither_blurred_digits_nor_noise_are_real_or_cover_what_is(measured, metric):
    first, *_, blurred, noise = [found[metric] for found in measured.values()]
    assert first > 0.7
    assert first > blurred >= noise


def test_other_digits_are_of_all_classes_and_noise_is_not(measured):
    assert measured["other digits"]["classifier_score"] > 7
    assert measured["other digits"]["class_balance"] < 0.2
    assert measured["uniform noise"]["class_balance"] > 1
