import math

import numpy as np
import pytest
import scipy.linalg
from sklearn.metrics import pairwise

from jaxgan.evaluation import metrics, prdc

rng = np.random.default_rng(0)
REAL = rng.gamma(2.0, size=(300, 6)).astype(np.float32)  # not negative, as the features are
FAKE = (rng.gamma(2.0, size=(240, 6)) * [1, 1, 1, 0.5, 1, 2] + 0.3).astype(np.float32)
ROTATION, _ = np.linalg.qr(rng.normal(size=(6, 6)))


def frechet(a, b):
    return metrics.frechet_distance(metrics.moments(a), metrics.moments(b))


def test_the_frechet_distance_is_that_of_scipy_s_matrix_square_root():
    a, b = metrics.moments(REAL), metrics.moments(FAKE)
    root = scipy.linalg.sqrtm(a.covariance @ b.covariance)
    expected = np.sum((a.mean - b.mean) ** 2) + np.trace(a.covariance + b.covariance - 2 * root.real)
    assert metrics.frechet_distance(a, b) == pytest.approx(expected, rel=1e-9)


def test_the_frechet_distance_on_common_axes_has_its_closed_form():
    means, deviations = rng.normal(size=(2, 5)), rng.uniform(0, 2, (2, 5))
    deviations[0, 0] = deviations[1, 1] = 0  # singular
    axes, _ = np.linalg.qr(rng.normal(size=(5, 5)))
    a, b = (metrics.Moments(m, (axes * s**2) @ axes.T) for m, s in zip(means, deviations, strict=True))
    expected = np.sum((means[0] - means[1]) ** 2) + np.sum((deviations[0] - deviations[1]) ** 2)
    assert metrics.frechet_distance(a, b) == pytest.approx(expected, rel=1e-7)


def test_a_set_is_at_frechet_distance_zero_of_itself_if_singular_too():
    constant = np.hstack([REAL, np.full((len(REAL), 3), 7, np.float32)])
    for features in (REAL, constant, constant[:5]):
        assert 0 <= frechet(features, features[::-1]) < 1e-6


def test_moments_are_numpy_s():
    found = metrics.moments(REAL)
    np.testing.assert_allclose(found.mean, REAL.astype(np.float64).mean(0))
    np.testing.assert_allclose(found.covariance, np.cov(REAL.astype(np.float64), rowvar=False))


def test_the_kernel_distance_is_scikit_learn_s_over_disjoint_subsets():
    size = 50
    found = metrics.kernel_distance(REAL, FAKE, size=size, seed=3)
    dealt = np.random.default_rng(3)
    orders = dealt.permutation(len(REAL)), dealt.permutation(len(FAKE))
    values = []
    for part in range(4):  # 240 // 50
        x, y = (a[o[part * size : (part + 1) * size]].astype(float) for a, o in zip((REAL, FAKE), orders, strict=True))
        xx, yy, xy = (pairwise.polynomial_kernel(a, b, degree=3, coef0=1) for a, b in ((x, x), (y, y), (x, y)))
        apart = ~np.eye(size, dtype=bool)
        values.append(xx[apart].mean() + yy[apart].mean() - 2 * xy.mean())
    assert found.mean == pytest.approx(np.mean(values), rel=1e-9)
    assert found.error == pytest.approx(np.std(values, ddof=1) / 2, rel=1e-9)


def test_the_kernel_distance_tells_distributions_apart_and_no_samples():
    draws = rng.normal(size=(2, 2000, 4))
    same = metrics.kernel_distance(*draws, size=100)
    assert abs(same.mean) < 4 * same.error
    shifted = metrics.kernel_distance(draws[0], draws[1] + 0.5, size=100)
    assert shifted.mean > 10 * shifted.error


def test_subsets_are_halved_where_images_are_few():
    assert metrics.kernel_distance(REAL, FAKE) == metrics.kernel_distance(REAL, FAKE, size=len(FAKE) // 2)


@pytest.mark.parametrize("k", [3, 5])
def test_fidelity_and_diversity_are_those_of_the_published_code(k, capsys, monkeypatch):
    import prdc as published  # brings scikit-learn, which only one of the workers needs

    expected = published.compute_prdc(REAL.astype(np.float64), FAKE.astype(np.float64), nearest_k=k)
    monkeypatch.setattr(prdc, "AT_ONCE", 7 * len(REAL))  # several parts, the last one shorter
    found = prdc.support(REAL, FAKE, k=k, wide_k=k)._asdict()
    assert 0 < min(expected.values()) < 1
    assert found == pytest.approx(expected, rel=1e-12)


def test_each_pair_of_metrics_has_its_own_neighbour():
    three, five = (prdc.support(REAL, FAKE, k=k, wide_k=k) for k in (3, 5))
    assert three != five
    assert prdc.support(REAL, FAKE) == (three.precision, three.recall, five.density, five.coverage)
    radii = prdc.squared_radii(REAL, (3, 5))
    assert prdc.support(REAL, FAKE, real_radii=radii) == prdc.support(REAL, FAKE)


def test_few_distinct_samples_are_precise_and_not_diverse():
    found = prdc.support(REAL, np.repeat(REAL[:3], 50, axis=0))
    assert found.precision == 1
    assert max(found.recall, found.coverage) < 0.1


def test_neither_order_nor_place_nor_turn_of_the_features_matters():
    turned = [np.asarray(x, np.float64) @ ROTATION + 5 for x in (REAL, FAKE)]
    mixed = REAL[rng.permutation(len(REAL))], FAKE[rng.permutation(len(FAKE))]
    for real, fake in (turned, mixed):
        assert frechet(real, fake) == pytest.approx(frechet(REAL, FAKE), rel=1e-9)
        assert prdc.support(real, fake) == pytest.approx(prdc.support(REAL, FAKE), rel=1e-12)


def test_radii_leave_out_the_image_itself():
    line = np.array([[0.0], [1.0], [3.0], [7.0]])
    np.testing.assert_allclose(prdc.squared_radii(line, (1, 2)), [[1, 9], [1, 4], [4, 9], [16, 36]])


def test_the_nearest_image_is_found_among_all_parts(monkeypatch):
    monkeypatch.setattr(prdc, "AT_ONCE", 12 * 50)
    among = rng.integers(0, 256, (100, 4, 3, 1), dtype=np.uint8)
    images = np.concatenate([among[[3, 97]], rng.integers(0, 256, (48, 4, 3, 1), dtype=np.uint8)])
    apart = among[None].astype(float) - images[:, None]
    expected = np.sqrt(np.min(np.sum(apart**2, axis=(2, 3, 4)), axis=1)) / 255
    _, found = prdc.nearest(images, among)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert list(found[:2]) == [0, 0]


def test_the_classifier_score_goes_from_one_to_the_number_of_classes():
    assert metrics.classifier_score(np.tile(rng.dirichlet(np.ones(10)), (50, 1))) == pytest.approx(1)
    assert metrics.classifier_score(np.eye(10)[np.arange(50) % 10]) == pytest.approx(10)
    p = rng.dirichlet(np.ones(4), 100)
    expected = np.exp(np.mean([scipy.stats.entropy(row, p.mean(0)) for row in p]))
    assert metrics.classifier_score(p) == pytest.approx(expected)


def test_class_balance_is_the_divergence_of_mean_predictions():
    p, shares = rng.dirichlet(np.ones(4), 100), np.array([0.1, 0.2, 0.3, 0.4])
    assert metrics.class_balance(p, shares) == pytest.approx(scipy.stats.entropy(p.mean(0), shares))
    assert metrics.class_balance(np.tile(shares, (9, 1)), shares) == pytest.approx(0, abs=1e-15)
    only_one = np.tile(np.eye(4)[3], (9, 1))
    assert metrics.class_balance(only_one, shares) == pytest.approx(math.log(1 / 0.4))


def test_class_shares_and_confidence_are_counted():
    shares = metrics.class_shares(np.array([2, 0, 2, 2]), classes=4)
    assert list(shares) == [0.25, 0, 0.75, 0]
    p = np.array([[0.96, 0.04], [0.5, 0.5], [0.02, 0.98], [0.9, 0.1]])
    assert metrics.confident_fraction(p) == 0.5
    assert metrics.confident_fraction(p, threshold=0.9) == 0.75
