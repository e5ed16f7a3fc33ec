"""Assertions that two trajectories agree."""

import numpy as np
from imperative.agreement import Arrays, differences, growth
from imperative.parity import Trajectory


def assert_agree(ours: Arrays, theirs: Arrays, *, tolerance: float) -> None:
    """Compares all arrays, each relative to its largest magnitude; the message names the worst first."""
    report({f"{name}: {apart:.1e}": apart for name, apart in differences(ours, theirs).items()}, tolerance)


def assert_same_curves(ours: Arrays, theirs: Arrays, *, tolerance: float) -> None:
    """Compares metrics step by step, each relative to its largest magnitude so far."""
    assert ours.keys() == theirs.keys()
    found = growth(ours, theirs)
    report(
        {f"{name}: {apart.max():.1e} in step {np.argmax(apart)}": apart.max() for name, apart in found.items()},
        tolerance,
    )


def assert_as_recorded(found: Trajectory, recorded: Trajectory, *, tolerance: float = 1e-9) -> None:
    """Compares a trajectory with everything recorded of its first steps."""
    last = max(recorded.snapshots)
    first = {name: curve[:last] for name, curve in found.metrics.items()}
    assert_same_curves(first, recorded.metrics, tolerance=tolerance)
    assert found.snapshots[last].keys() == recorded.snapshots[last].keys()
    for steps, expected in recorded.snapshots.items():
        assert_agree({name: found.snapshots[steps][name] for name in expected}, expected, tolerance=tolerance)


def report(found: dict[str, float], tolerance: float) -> None:
    wrong = sorted((name for name, apart in found.items() if not apart <= tolerance), key=found.get, reverse=True)
    assert not wrong, f"further apart than {tolerance}: {', '.join(wrong[:5])}, {len(wrong)} in all"
