"""Signs that training goes wrong, in its metrics and its samples."""

from collections.abc import Callable, Mapping

import numpy as np
from jaxtyping import UInt8

Images = UInt8[np.ndarray, "count height width channels"]

EARLY = 1000  # steps in which a discriminator may be far ahead and samples alike
SURE = 0.99  # mean probability of the right answer, from which a discriminator has nothing left to tell
ALIKE = 0.1  # distance between samples, as a share of that between real images
FALLEN = 0.5  # the same, as a share of what it was
GROWN = 100.0  # times a metric's size in the first epoch, or 1 if that is more


def signs_in_metrics(row: Mapping[str, float], first: Mapping[str, float]) -> dict[str, str]:
    """Finds what the means of an epoch say of failing training: advice by sign.

    They are compared with the first epoch that was seen; a run that goes on has earlier ones.
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
            f"a class is missing from the samples or has twice its share (largest_share_error is {error:.2f}): this "
            "is how mode collapse begins; look at the samples"
        )
    for name, value in row.items():
        if name not in ("step", "epoch") and abs(value) > GROWN * max(abs(first.get(name, value)), 1.0):
            found[name] = (
                f"{name} is {value:.3g}, after {first[name]:.3g} in an earlier epoch: training may diverge; in a new "
                "run, try smaller learning rates"
            )
    return found


def mean_distance(images: Images) -> float:
    """The mean Euclidean distance between two images of a set, of pixels in [0, 1]."""
    pixels = images.reshape(len(images), -1) / np.float32(255)
    shifts = range(1, min(11, len(images)))
    return float(np.mean([np.linalg.norm(pixels - np.roll(pixels, shift, axis=0), axis=1).mean() for shift in shifts]))


def signs_in_spread(spread: float, highest: float) -> dict[str, str]:
    """Finds what the distance between samples says of mode collapse: advice by sign.

    The spread is their mean distance, as a share of that between real images, and the highest the largest so far.
    """
    if spread >= max(ALIKE, FALLEN * highest):
        return {}
    before = f", after {highest:.0%}" if highest > spread else ""
    return {
        "alike": f"samples differ by {spread:.0%} of what real images do{before}: this is how mode collapse begins; "
        "look at the samples"
    }


class Watch:
    """Watches a run, and tells each sign once.

    Args:
      real: some training images, asked for once there are samples.
      tell: takes a warning.
    """

    def __init__(self, real: Callable[[], Images], tell: Callable[[str], None]) -> None:
        self._real, self._tell, self._told = real, tell, set[str]()
        self._first: Mapping[str, float] | None = None
        self._real_distance: float | None = None
        self._highest = 0.0

    def row(self, row: Mapping[str, float]) -> None:
        """Looks at the metrics of an epoch."""
        self._first = self._first or row
        self._say(signs_in_metrics(row, self._first), int(row["step"]))

    def samples(self, images: Images, *, step: int) -> None:
        """Looks at samples drawn after a step."""
        if self._real_distance is None:
            self._real_distance = mean_distance(self._real())
        if self._real_distance > 0:
            spread = mean_distance(images) / self._real_distance
            self._say(signs_in_spread(spread, self._highest), step)
            self._highest = max(self._highest, spread)

    def _say(self, signs: Mapping[str, str], step: int) -> None:
        for sign, words in signs.items():
            if step >= EARLY and sign not in self._told:
                self._told.add(sign)
                self._tell(f"step {step}: {words}")
