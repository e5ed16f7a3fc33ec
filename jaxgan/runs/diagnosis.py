"""Signs of failing training in metrics and samples."""

from collections.abc import Callable, Mapping

import numpy as np
from jaxtyping import UInt8

Images = UInt8[np.ndarray, "count height width channels"]

EARLY = 1000  # first steps without warnings: the discriminator may be far ahead, and samples alike
SURE = 0.99  # mean probability of the correct answer, above which the discriminator is too strong
ALIKE = 0.1  # distance between samples, relative to real images, below which they are alike
FALLEN = 0.5  # the same, relative to the largest distance so far
GROWN = 100.0  # growth of a metric, from the first epoch or from 1 if that is larger, above which training may diverge


def signs_in_metrics(row: Mapping[str, float], first: Mapping[str, float]) -> dict[str, str]:
    """Finds signs of failing training in the metrics of an epoch; returns advice by sign.

    Metrics are compared with the first epoch seen, which in a resumed run is not epoch 1.
    """
    found = {}
    real, fake = row.get("real_probability", 0.5), row.get("fake_probability", 0.5)
    if real > SURE and fake < 1 - SURE:
        found["sure"] = (
            f"the discriminator tells real from generated images (D(x) is {real:.3f}, D(G(z)) {fake:.3f}): the "
            "generator learns little; in a new run, slow the discriminator down or add a penalty"
        )
    if (error := row.get("largest_share_error", 0.0)) >= 1:
        found["classes"] = (
            f"a class is missing from the samples or has twice its share (largest_share_error is {error:.2f}): a sign "
            "of mode collapse; look at the samples"
        )
    for name, value in row.items():
        if name not in ("step", "epoch") and abs(value) > GROWN * max(abs(first.get(name, value)), 1.0):
            found[name] = (
                f"{name} is {value:.3g}, after {first[name]:.3g} in an earlier epoch: training may diverge; in a new "
                "run, try smaller learning rates"
            )
    return found


def mean_distance(images: Images) -> float:
    """Returns the mean Euclidean distance between images of a set, with pixels in [0, 1]."""
    pixels = images.reshape(len(images), -1) / np.float32(255)
    shifts = range(1, min(11, len(images)))
    return float(np.mean([np.linalg.norm(pixels - np.roll(pixels, shift, axis=0), axis=1).mean() for shift in shifts]))


def signs_in_spread(spread: float, highest: float) -> dict[str, str]:
    """Finds signs of mode collapse in the distance between samples; returns advice by sign.

    ``spread`` is their mean distance relative to that between real images; ``highest`` is the largest spread so far.
    """
    if spread >= max(ALIKE, FALLEN * highest):
        return {}
    before = f", after {highest:.0%}" if highest > spread else ""
    return {
        "alike": f"samples are {spread:.0%} as far apart as real images{before}: a sign of mode collapse; look at the "
        "samples"
    }


class Watch:
    """Watches a run, and warns of each sign once.

    Args:
      real: returns training images; called once there are samples.
      warn: called with each warning.
    """

    def __init__(self, real: Callable[[], Images], warn: Callable[[str], None]) -> None:
        self._real, self._warn, self._warned = real, warn, set[str]()
        self._first: Mapping[str, float] | None = None
        self._real_distance: float | None = None
        self._highest = 0.0

    def row(self, row: Mapping[str, float]) -> None:
        """Checks the metrics of an epoch."""
        self._first = self._first or row
        self._report(signs_in_metrics(row, self._first), int(row["step"]))

    def samples(self, images: Images, *, step: int) -> None:
        """Checks samples drawn after a step."""
        if self._real_distance is None:
            self._real_distance = mean_distance(self._real())
        if self._real_distance > 0:
            spread = mean_distance(images) / self._real_distance
            self._report(signs_in_spread(spread, self._highest), step)
            self._highest = max(self._highest, spread)

    def _report(self, signs: Mapping[str, str], step: int) -> None:
        for sign, advice in signs.items():
            if step >= EARLY and sign not in self._warned:
                self._warned.add(sign)
                self._warn(f"step {step}: {advice}")
