"""How far two trajectories lie apart, number by number."""

import numpy as np

Arrays = dict[str, np.ndarray]


def differences(ours: Arrays, theirs: Arrays) -> dict[str, float]:
    """Measures how far arrays lie apart, as a fraction of the largest magnitude in each.

    Args:
      ours: arrays by name.
      theirs: arrays of the same names and shapes.

    Returns:
      The largest difference of each array; infinite where theirs is all zero and ours is not.

    Raises:
      ValueError: if names or shapes differ.
    """
    if ours.keys() != theirs.keys():
        raise ValueError(f"only in one of both: {', '.join(sorted(ours.keys() ^ theirs.keys()))}")
    return {name: float(np.max(_relative(ours[name], theirs[name], np.max(np.abs(theirs[name]))))) for name in theirs}


def growth(ours: Arrays, theirs: Arrays) -> Arrays:
    """Measures how far curves lie apart at each step, as a fraction of the largest magnitude so far.

    Args:
      ours: curves by name, one number per step.
      theirs: curves of the same names.

    Returns:
      The difference at each step, by name.
    """
    return {name: _relative(ours[name], theirs[name], np.maximum.accumulate(np.abs(theirs[name]))) for name in theirs}


def _relative(ours: np.ndarray, theirs: np.ndarray, scale: np.ndarray) -> np.ndarray:
    if ours.shape != theirs.shape:
        raise ValueError(f"shapes differ: {ours.shape} and {theirs.shape}")
    apart = np.abs(ours.astype(np.float64) - theirs)
    return np.where(apart == 0, 0.0, np.divide(apart, scale, out=np.full_like(apart, np.inf), where=scale > 0))
