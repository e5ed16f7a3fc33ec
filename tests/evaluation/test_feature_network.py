import hashlib
import pwd

import jax
import numpy as np
import pytest

from jaxgan import data
from jaxgan.data import arrays
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


def keep(path, *, data="mnist", network="convolutional"):
    """Writes the weights of a small classifier, all the same."""
    method = build(Classifier(width=2, network=network), image_shape=(28, 28, 1))
    abstract = jax.eval_shape(method.init, jax.random.key(0)).network.variables
    variables = jax.tree.map(lambda leaf: np.full(leaf.shape, 0.1, leaf.dtype), abstract)
    return feature_network.keep(path, variables, data=data, network=network, width=2, classes=10)


def test_a_user_s_classifier_is_found_in_the_cache_and_named_by_content(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(UserError, match=r"--data: no classifier of 'kmnist'.*train digit_classifier --data kmnist"):
        feature_network.load("kmnist")
    path = keep(feature_network.cached("kmnist"), data="kmnist")
    network = feature_network.load("kmnist")
    assert network.version == f"jaxgan-kmnist-{hashlib.sha256(path.read_bytes()).hexdigest()[:8]}"
    features, probabilities = network.extract(np.zeros((3, 28, 28, 1), np.uint8))
    assert features.shape == (3, 6)
    assert probabilities.shape == (3, 10)
    path.write_bytes(b"nothing")
    with pytest.raises(UserError, match="damaged"):
        feature_network.load("kmnist")


def test_a_classifier_of_other_classes_is_refused_and_images_without_classes_have_none(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    keep(feature_network.cached("kmnist"), data="kmnist")
    assert feature_network.choose("kmnist", classes=10).version.startswith("jaxgan-kmnist-")
    with pytest.raises(UserError, match="has 10 classes, but 'kmnist' has 12; train digit_classifier again"):
        feature_network.choose("kmnist", classes=12)
    with pytest.raises(UserError, match="--data: the images have no classes, which a classifier needs"):
        build(Classifier(), image_shape=(28, 28, 1), classes=1)


def test_more_pixels_than_fit_in_memory_are_refused(monkeypatch):
    images = np.zeros((7, 4, 4, 1), np.uint8)
    assert feature_network.pixels().extract(images)[0].shape == (7, 16)
    monkeypatch.setattr(arrays, "MOST_BYTES", 8 * images.size - 1)
    with pytest.raises(UserError, match=r"--count: the comparison of 7 images by pixels .* give fewer images"):
        feature_network.pixels().extract(images)


def test_a_user_without_a_home_names_a_cache(monkeypatch):
    for name in ("HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", {}.__getitem__)
    with pytest.raises(UserError, match=r"^XDG_CACHE_HOME: '~/.cache' starts with a home folder that does not exist"):
        feature_network.cached("kmnist")


def test_a_judge_of_other_layers_is_loaded_and_named_by_content(tmp_path):
    path = keep(tmp_path / "dense.safetensors", network="dense")
    judge = feature_network.load_judge(path)
    assert judge.version == f"jaxgan-mnist-{hashlib.sha256(path.read_bytes()).hexdigest()[:8]}"
    features, probabilities = judge.extract(np.zeros((3, 28, 28, 1), np.uint8))
    assert (features.shape, probabilities.shape) == ((3, 6), (3, 10))
    assert judge.version != feature_network.load_judge(keep(tmp_path / "conv.safetensors")).version
    shipped = feature_network.load_judge(feature_network.SHIPPED / "mnist.safetensors")
    assert shipped.version == feature_network.load().version


def test_a_judge_of_other_images_or_a_damaged_one_is_refused(tmp_path):
    keep(tmp_path / "kana.safetensors", data="kmnist")
    (tmp_path / "damaged.safetensors").write_bytes(b"nothing")
    for name, words in (
        ("kana", r"--judge: '.*' was trained on 'kmnist', but the samples are of 'mnist'"),
        ("damaged", "damaged"),
        ("absent", r"--judge: '.*' cannot be read \(No such file or directory\); name the classifier.safetensors"),
    ):
        with pytest.raises(UserError, match=words):
            feature_network.load_judge(tmp_path / f"{name}.safetensors")
