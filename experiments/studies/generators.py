"""The generators for studies of samples: finished runs, and generators that come with the package."""

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
    """A trained generator.

    Attributes:
      title: name of the method, and number of epochs.
      run: config, method and state.
    """

    title: str
    run: LoadedRun


def load(runs: Sequence[Path], *, samples: int, **least_one: int) -> list[Trained]:
    """Loads generators, and checks the options of a study.

    Args:
      runs: working directories, or names of generators of the package.
      samples: number of samples that the study draws from each.
      **least_one: other options that must be at least 1, by flag.

    Returns:
      The generators.

    Raises:
      UserError: if an option is invalid, or a run is missing, trained on other data or listed twice.
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
    """Draws the samples that `jaxgan evaluate` scores for seed 0, or reads them from a cache.

    The name of the cache file has a digest of config and state.
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
