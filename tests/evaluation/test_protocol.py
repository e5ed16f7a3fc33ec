import numpy as np
import pytest

from jaxgan.errors import UserError
from jaxgan.evaluation import metrics, protocol


@pytest.fixture
def against(network, bright):
    return protocol.reference(network, bright(200, seed=0))


def test_real_images_as_samples_are_nearly_perfect_and_noise_is_not(against, bright):
    real = protocol.measure(bright(150, seed=1).images, against, seed=0)
    noise = np.random.default_rng(0).integers(0, 256, (150, 6, 5, 1), dtype=np.uint8)
    worse = protocol.measure(noise, against, seed=0)
    assert real["frechet_distance"] < 0.1 * worse["frechet_distance"]
    assert real["kernel_distance"] < worse["kernel_distance"]
    for name in ("precision", "recall", "coverage", "classifier_score"):
        assert real[name] > worse[name], name
    for name in ("class_balance", "largest_share_error"):
        assert real[name] < worse[name], name


def test_the_test_images_themselves_are_perfect(against, bright):
    found = protocol.measure(bright(200, seed=0).images, against, seed=0)
    assert found["frechet_distance"] == pytest.approx(0, abs=1e-9)
    assert [found[name] for name in ("precision", "recall", "coverage")] == [1, 1, 1]
    assert found["density"] > 1
    assert found["class_balance"] == pytest.approx(0, abs=1e-9)


def test_the_floor_is_a_fixed_choice_of_training_images(against, bright):
    training = bright(300, seed=2)
    chosen = protocol.floor_choice(300, count=120)
    assert len(set(chosen)) == 120
    assert max(chosen) > 120
    found = protocol.floor(training, against, count=120)
    images, labels = training.images[chosen], training.labels[chosen]
    assert found == protocol.measure(images, against, seed=protocol.FLOOR_SEED, requested=labels)
    assert found == protocol.floor(training, against, count=120)


def test_shares_are_of_predicted_classes_and_held_against_the_data_s(against, bright):
    sevens = bright(200, seed=1)
    sevens = sevens.images[sevens.labels != 3]
    found = protocol.measure(sevens, against, seed=0)
    shares = [found[f"share_{digit}"] for digit in range(10)]
    assert sum(shares) == pytest.approx(1)
    assert shares[3] < 0.02
    assert found["largest_share_error"] == pytest.approx(max(abs(np.array(shares) / 0.1 - 1)))
    assert found["largest_share_error"] > 0.8


def test_accuracy_is_measured_where_classes_were_requested(against, bright):
    data = bright(200, seed=1)
    assert "requested_class_accuracy" not in protocol.measure(data.images, against, seed=0)
    predicted = np.argmax(against.network.extract(data.images)[1], axis=1)
    requested = np.where(np.arange(200) < 50, (predicted + 1) % 10, predicted)
    found = protocol.measure(data.images, against, seed=0, requested=requested)
    assert found["requested_class_accuracy"] == 0.75


def test_distances_within_classes_see_labels_that_are_mixed_up(against, bright):
    data = bright(200, seed=1)
    right = protocol.measure(data.images, against, seed=0, requested=data.labels)
    swapped = np.choose(data.labels, [1, 0, *range(2, 10)])
    wrong = protocol.measure(data.images, against, seed=0, requested=swapped)
    of_classes = [f"frechet_distance_{digit}" for digit in range(10)]
    assert wrong["frechet_distance"] == right["frechet_distance"]
    assert [name for name in of_classes if wrong[name] != right[name]] == of_classes[:2]
    assert min(wrong[name] / right[name] for name in of_classes[:2]) > 3
    assert right["class_frechet_distance"] == pytest.approx(np.mean([right[name] for name in of_classes]))
    one, test = data.images[data.labels == 4], bright(200, seed=0)
    alone = metrics.frechet_distance(
        *(metrics.moments(against.network.extract(x)[0]) for x in (test.images[test.labels == 4], one))
    )
    assert right["frechet_distance_4"] == pytest.approx(alone)


def test_a_class_with_a_single_image_has_no_distance(against, bright):
    data = bright(120, seed=1)
    requested = np.where(np.arange(120) == 5, 3, 4)
    found = protocol.measure(data.images, against, seed=0, requested=requested)
    assert found["class_frechet_distance"] == found["frechet_distance_4"]
    assert "frechet_distance_3" not in found


def test_too_few_test_images_are_refused_and_six_are_enough(network, bright):
    with pytest.raises(UserError, match=r"^--data: 'toy' has 5 test images, evaluation needs 6"):
        protocol.reference(network, bright(5, seed=0))
    assert protocol.measure(bright(100, seed=1).images, protocol.reference(network, bright(6, seed=0)), seed=0)


def test_a_class_without_a_test_image_has_no_share_to_compare_with(network, bright):
    real = bright(200, seed=0)
    some = real._replace(images=real.images[real.labels != 3], labels=real.labels[real.labels != 3])
    found = protocol.measure(real.images, protocol.reference(network, some), seed=0)
    assert not {"class_balance", "largest_share_error"} & found.keys()
    assert np.all(np.isfinite(list(found.values())))


def test_copies_are_nearer_to_the_training_images_than_others(bright):
    training, others = bright(100, seed=2).images, bright(100, seed=3).images
    assert protocol.memorisation(training[:50], training) == 0
    assert protocol.memorisation(others, training) > 0


def test_several_seeds_give_mean_and_deviation_and_one_gives_none():
    floors = {"a": 0.5}
    both = protocol.summarize([{"a": 1.0, "b": 2.0}, {"a": 3.0, "b": 2.0}], floors)
    assert both == {"a": (2.0, pytest.approx(np.sqrt(2)), 0.5), "b": (2.0, 0.0, None)}
    assert protocol.summarize([{"a": 1.0}], floors) == {"a": (1.0, None, 0.5)}


@pytest.mark.parametrize("count", [0, -1, 99, 50_001])
def test_too_few_or_too_many_images_are_refused(count):
    with pytest.raises(
        UserError, match=r"--count: -?[0-9,]+ images are not allowed, .* at least 100 and at most 50,000"
    ):
        protocol.check_count(count)
