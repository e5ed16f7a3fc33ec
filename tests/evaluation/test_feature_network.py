"""The feature network that comes with the package, and those that users train."""

import hashlib

import jax
import numpy as np
import pytest

from jaxgan import data
from jaxgan.errors import UserError
from jaxgan.evaluation import feature_network
from jaxgan.methods import build
from jaxgan.methods.classifier import Classifier


def test_the_shipped_classifier_is_small_and_pinned():
    path = feature_network.SHIPPED / "mnist.safetensors"
    assert len(path.read_bytes()) < 1_000_000
    assert hashlib.sha256(path.read_bytes()).hexdigest() == feature_network.PINNED["mnist"]


@pytest.mark.slow
def test_the_shipped_classifier_is_right_about_995_of_1000_digits(mnist_dir):
    network, held_out = feature_network.load("mnist"), data.load("mnist", split="test", data_dir=mnist_dir)
    features, probabilities = network.extract(held_out.images)
    assert network.version == "jaxgan-mnist-1"
    assert np.mean(probabilities.argmax(axis=1) == held_out.labels) >= 0.995
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-4)
    assert features.min() >= 0
    assert features.shape[1] == build(Classifier(), image_shape=(28, 28, 1)).networks["network"].module.features


def test_features_of_an_image_do_not_depend_on_those_beside_it():
    images = np.random.default_rng(0).integers(0, 256, (7, 28, 28, 1), dtype=np.uint8)
    network = feature_network.load("mnist")
    whole, part = network.extract(images), network.extract(images[5:])
    for a, b in zip(whole, part, strict=True):
        np.testing.assert_allclose(a[5:], b, rtol=1e-5, atol=1e-6)


def small_variables():
    abstract = jax.eval_shape(build(Classifier(width=2), image_shape=(28, 28, 1)).init, jax.random.key(0))
    return jax.tree.map(lambda leaf: np.full(leaf.shape, 0.1, leaf.dtype), abstract.network.variables)


def test_a_user_s_classifier_is_found_in_the_cache_and_named_by_content(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(UserError, match=r"--data: no classifier of 'kmnist'.*train digit_classifier --data kmnist"):
        feature_network.load("kmnist")
    path = feature_network.keep(feature_network.cached("kmnist"), small_variables(), data="kmnist", width=2, classes=10)
    network = feature_network.load("kmnist")
    assert network.version == f"jaxgan-kmnist-{hashlib.sha256(path.read_bytes()).hexdigest()[:8]}"
    features, probabilities = network.extract(np.zeros((3, 28, 28, 1), np.uint8))
    assert features.shape == (3, 6)
    assert probabilities.shape == (3, 10)
    path.write_bytes(b"nothing")
    with pytest.raises(UserError, match="damaged"):
        feature_network.load("kmnist")


def test_other_weights_than_the_pinned_ones_are_refused(monkeypatch, tmp_path):
    feature_network.keep(tmp_path / "mnist.safetensors", small_variables(), data="mnist", width=2, classes=10)
    monkeypatch.setattr(feature_network, "SHIPPED", tmp_path)
    with pytest.raises(UserError, match="not the classifier of this version"):
        feature_network.load("mnist")
