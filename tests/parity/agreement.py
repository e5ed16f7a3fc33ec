"""When two trajectories agree."""

import numpy as np
from imperative.agreement import Arrays, differences, growth
from imperative.parity import Trajectory


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


def assert_as_recorded(found: Trajectory, recorded: Trajectory, *, tolerance: float = 1e-9) -> None:
    """Compares all that was recorded of the first steps."""
    last = max(recorded.looks)
    first = {name: curve[:last] for name, curve in found.metrics.items()}
    assert_same_curves(first, recorded.metrics, tolerance=tolerance)
    assert found.looks[last].keys() == recorded.looks[last].keys()
    for steps, expected in recorded.looks.items():
        assert_agree({name: found.looks[steps][name] for name in expected}, expected, tolerance=tolerance)


def report(found: dict[str, float], tolerance: float) -> None:
    wrong = sorted((name for name, apart in found.items() if not apart <= tolerance), key=found.get, reverse=True)
    assert not wrong, f"further apart than {tolerance}: {', '.join(wrong[:5])}, {len(wrong)} in all"
