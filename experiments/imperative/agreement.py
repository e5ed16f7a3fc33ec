"""Relative differences between two trajectories."""

import numpy as np

Arrays = dict[str, np.ndarray]


def differences(ours: Arrays, theirs: Arrays) -> dict[str, float]:
    """Measures differences of arrays, relative to the largest magnitude in each.

    Args:
      ours: arrays by name.
      theirs: arrays of the same names and shapes.

    Returns:
      The largest relative difference of each array; infinite if theirs is all zero and ours is not.

    Raises:
      ValueError: if names or shapes differ.
    """
    if ours.keys() != theirs.keys():
        raise ValueError(f"only in one of both: {', '.join(sorted(ours.keys() ^ theirs.keys()))}")
    return {name: float(np.max(_relative(ours[name], theirs[name], np.max(np.abs(theirs[name]))))) for name in theirs}


def growth(ours: Arrays, theirs: Arrays) -> Arrays:
    """Measures differences of curves at each step, relative to the largest magnitude so far.

    Args:
      ours: curves by name, one number per step.
      theirs: curves of the same names.

    Returns:
      The relative difference at each step, by name.
    """
    return {name: _relative(ours[name], theirs[name], np.maximum.accumulate(np.abs(theirs[name]))) for name in theirs}


def _relative(ours: np.ndarray, theirs: np.ndarray, scale: np.ndarray) -> np.ndarray:
    if ours.shape != theirs.shape:
        raise ValueError(f"shapes differ: {ours.shape} and {theirs.shape}")
    difference = np.abs(ours.astype(np.float64) - theirs)
    relative = np.divide(difference, scale, out=np.full_like(difference, np.inf), where=scale > 0)
    return np.where(difference == 0, 0.0, relative)
