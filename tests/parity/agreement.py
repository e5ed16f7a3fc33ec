"""When two trajectories agree."""

import numpy as np
from imperative.parity import Arrays, differences, growth


def assert_agree(ours: Arrays, theirs: Arrays, *, tolerance: float) -> None:
    """Compares all arrays, each on the scale of its largest magnitude; in the message the worst ones come first."""
    report({f"{name}: {apart:.1e}": apart for name, apart in differences(ours, theirs).items()}, tolerance)


def assert_same_curves(ours: Arrays, theirs: Arrays, *, tolerance: float) -> None:
    """Compares metrics step by step, each on the scale of its largest magnitude up to there."""
    assert ours.keys() == theirs.keys()
    found = growth(ours, theirs)
    report(
        {f"{name}: {apart.max():.1e} in step {np.argmax(apart)}": apart.max() for name, apart in found.items()},
        tolerance,
    )


def report(found: dict[str, float], tolerance: float) -> None:
    wrong = sorted((name for name, apart in found.items() if not apart <= tolerance), key=found.get, reverse=True)
    assert not wrong, f"further apart than {tolerance}: {', '.join(wrong[:5])}, {len(wrong)} in all"
