"""The generators that studies of samples take: finished runs, and those that come with the package."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import UInt8
from studies import training

from jaxgan.config import to_json
from jaxgan.data.catalog import find
from jaxgan.errors import UserError
from jaxgan.runs import pretrained
from jaxgan.runs.load import LoadedRun, load_run

SHIPPED = tuple(Path(name) for name in pretrained.manifest())
DATA = "mnist"

Images = UInt8[np.ndarray, "count height width channels"]


class Trained(NamedTuple):
    """A generator that has trained.

    Attributes:
      title: its method, and how long it trained.
      run: its config, method and state.
    """

    title: str
    run: LoadedRun


def load(runs: Sequence[Path], *, samples: int, **least_one: int) -> list[Trained]:
    """Reads generators, and checks the numbers of a study.

    Args:
      runs: folders of runs, or names of generators of the package.
      samples: how many the study draws of each.
      **least_one: its numbers that must be at least 1, by flag.

    Returns:
      The generators.

    Raises:
      UserError: if a number is not allowed; if there is no such run, it trained on other data or is named twice.
    """
    training.check("--runs", list(map(str, runs)), dict.fromkeys(map(str, (*SHIPPED, *runs))), samples, **least_one)
    found = [_load(path) for path in runs]
    for i, (title, _) in enumerate(found):
        if title in [other.title for other in found[:i]]:
            raise UserError(f"--runs: {str(runs[i])!r} is not allowed, there is {title} already")
    return found


def _load(path: Path) -> Trained:
    run = load_run(path)
    if run.config.run.data != DATA or run.method.generator is None:
        what = f"{run.config.kind} on {run.config.run.data!r}"
        raise UserError(f"--runs: {str(path)!r} is a run of {what}, it must draw images like those of {DATA!r}")
    epochs = run.step / (find(DATA).examples["train"] // run.config.run.batch_size)
    kind = "on labels, " if run.method.generator(run.state).classes else ""
    return Trained(f"{run.config.method.title} ({kind}{epochs:g} epochs)", run)


def samples(run: LoadedRun, *, count: int, cache: Path) -> Images:
    """Draws the samples that `jaxgan evaluate` measures for seed 0, or takes them from a file.

    Its name has a digest of config and state.
    """
    digest = hashlib.sha256(to_json(run.config).encode())
    for leaf in jax.tree.leaves(run.state):
        digest.update(np.asarray(leaf).tobytes())
    path = cache / f"{run.config.kind}_{digest.hexdigest()[:12]}_{count}.npy"
    if not path.exists():
        print(f"{path} ...", flush=True)
        cache.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part.npy")
        np.save(part, run.sample(count, labels="data" if run.method.classes else None))
        part.rename(path)
    return np.load(path)
