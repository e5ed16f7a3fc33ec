"""Loads runs: config, method and the state of a checkpoint; and draws samples from the state."""

import contextlib
import os
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from jaxgan import data, methods
from jaxgan.config import Config, replica_configs
from jaxgan.data.catalog import find
from jaxgan.errors import UserError
from jaxgan.evaluation import protocol
from jaxgan.methods import Method, OwnMethod
from jaxgan.methods.sampling import draw_latents
from jaxgan.nn import noise
from jaxgan.runs import fingerprint, pictures, pretrained
from jaxgan.runs.digests import structure
from jaxgan.runs.fingerprint import Fingerprint
from jaxgan.runs.mirror import local_copy
from jaxgan.runs.sampler import SAMPLE_BATCH, Images, Labels, batch_key, by_batch
from jaxgan.runs.workdir import Workdir, load_config, require_readable
from jaxgan.runtime.devices import replicated, select_devices
from jaxgan.runtime.nans import not_finite
from jaxgan.runtime.numerics import fixed_numerics
from jaxgan.runtime.program import initial_carry, to_bytes
from jaxgan.runtime.replicas import entry

MOST = 1_000_000  # samples at most: a larger number is a typo


class LoadedRun(NamedTuple):
    """A run, or a replica of one, loaded from a checkpoint."""

    config: Config
    method: Method  # built for one device
    state: Any  # state of the method
    step: int
    image_shape: tuple[int, int, int]
    classes: int
    class_names: tuple[str, ...] = ()

    def sample(self, count: int, **options: Any) -> Images:
        """Draws samples as bytes; for the options see :func:`draw`."""
        return draw(self, count=count, **options)[0]


def load_run(
    folder: str | Path,
    *,
    best: bool = False,
    step: int | None = None,
    replica: int | None = None,
    method: OwnMethod | None = None,
) -> LoadedRun:
    """Loads a run from a checkpoint, and changes nothing in its working directory.

    Args:
      folder: the working directory or the address of the run, or the name of a pretrained generator.
      best: whether to load the checkpoint that ``--keep-best`` kept.
      step: the step of the checkpoint; None for the newest.
      replica: the number of the replica; None for the first, which has the seed of the run.
      method: the method of the run, if it is code.

    Returns:
      The run, with its state on one device. A replica is loaded as if it had trained as a single run: its config has
      its seed and its swept values.

    Raises:
      UserError: if the folder, the run, the checkpoint or the replica does not exist, one of them is damaged, or the
        replica has diverged.
    """
    folder = local_copy(os.path.expanduser(folder))
    if method is None and is_pretrained(folder):
        for flag, given in (("--best", best), ("--step", step is not None), ("--replica", replica is not None)):
            if given:
                raise UserError(f"{flag}: is for the folder of a run, {str(folder)!r} is a pretrained generator")
        return _shipped(str(folder))
    number = replica or 0
    with named_as_a_folder():
        runs, going = _load(Workdir(folder), best=best, step=step, method=method)
        require_replica(number, len(runs), folder)
        if number not in going:
            others = f"choose from {', '.join(map(str, going))}" if going else "so have all others"
            raise UserError(f"--replica: {number} has diverged in {str(folder)!r}; {others}")
        return runs[number]


def require_replica(number: int, count: int, folder: Path) -> None:
    """Refuses the number of a replica that a run does not have."""
    if not 0 <= number < count:
        allowed = f"replicas 0 to {count - 1}" if count > 1 else "only replica 0"
        raise UserError(f"--replica: {number} is not allowed, {str(folder)!r} has {allowed}")


def load_replicas(folder: Path, *, best: bool = False, method: OwnMethod | None = None) -> dict[int, LoadedRun]:
    """Loads all replicas of a run that have not diverged, by number, as :func:`load_run` does; a single run is 0."""
    folder = local_copy(folder)
    if method is None and is_pretrained(folder):
        return {0: load_run(folder, best=best)}
    with named_as_a_folder():
        runs, going = _load(Workdir(folder), best=best, method=method)
    if not going:
        raise UserError(f"{str(folder)!r}: all replicas of this run have diverged")
    return {number: runs[number] for number in going}


def is_pretrained(folder: Path) -> bool:
    """Whether this is the name of a pretrained generator, and no such folder exists."""
    return str(folder) in pretrained.manifest() and not os.path.lexists(folder)


def _shipped(name: str) -> LoadedRun:
    config, trained = pretrained.load(name)
    about = find(config.run.data)
    return LoadedRun(
        config, *trained, int(trained.state.step), about.image_shape, len(about.class_names), about.class_names
    )


@contextlib.contextmanager
def named_as_a_folder() -> Iterator[None]:
    """Removes ``--workdir`` from errors: commands that only read a run have no such flag."""
    try:
        yield
    except UserError as error:
        raise UserError(str(error).removeprefix("--workdir: ")) from error


def _load(
    folder: Workdir, *, best: bool, step: int | None = None, method: OwnMethod | None = None
) -> tuple[list[LoadedRun], list[int]]:
    """Loads a run, or all of its replicas, and lists those that have not diverged."""
    # Orbax is slow to import, and pretrained generators do not need it.
    from jaxgan.runs.checkpoints import checkpoint_manager, latest_step, restore

    require_readable(folder.root)
    if not os.path.lexists(root := str(folder.root)):
        names = ", ".join(pretrained.manifest())
        raise UserError(f"{root!r}: no such folder; give the --workdir of a run, or a pretrained generator: {names}")
    config = require_run(folder)
    saved = folder.best if best else folder.checkpoints
    if (newest := latest_step(saved)) is None:
        kept = "kept no best checkpoint, train it with --keep-best" if best else "has no checkpoint yet"
        raise UserError(f"{root!r}: this run of {config.kind} {kept}")
    if step is not None and not (saved / f"{step}").is_dir():
        steps = ", ".join(sorted((path.name for path in saved.iterdir() if path.name.isdigit()), key=int))
        raise UserError(f"--step: {step} is not allowed, {root!r} has checkpoints of {steps}")
    image_shape, names = described(folder, config)
    classes = len(names)
    members = replica_configs(config)
    how = {"image_shape": image_shape, "classes": classes, "method": method}
    built = [methods.build(member.method, **how) for member in members]
    abstract = jax.eval_shape(partial(initial_carry, built[0], image_shape=image_shape), np.uint32(config.run.seed))
    if method is not None:
        fingerprint.require_same(folder, Fingerprint(structure(abstract.state), {}, {}))
    if config.run.several:
        abstract = jax.tree.map(lambda x: jax.ShapeDtypeStruct((len(members), *x.shape), x.dtype), abstract)
    sharding = replicated(select_devices(count=1))
    while True:
        chosen = newest if step is None else step
        try:
            with checkpoint_manager(saved, read_only=True) as manager:
                carry = restore(manager, abstract, step=chosen, sharding=sharding)
            break
        except (UserError, OSError):  # a running training may have replaced this checkpoint by a newer one
            previous, newest = newest, latest_step(saved)
            if step is not None or newest in (None, previous):
                raise
    numbers = list(range(len(members))) if config.run.several else [None]
    entries = [entry(carry, number) for number in numbers]
    runs = [
        LoadedRun(member, method, carry.state, chosen, image_shape, classes, names)
        for member, method, carry in zip(members, built, entries, strict=True)
    ]
    going = [number for number, carry in enumerate(entries) if not (config.run.several and not_finite(carry))]
    return runs, going


def require_run(folder: Workdir) -> Config:
    """Reads the config of the run in a folder; raises UserError if there is none, or it is damaged."""
    require_readable(folder.root)
    if not os.path.exists(folder.root):
        raise UserError(f"{str(folder.root)!r}: no such folder; give the --workdir of a run")
    if (config := load_config(folder)) is None:
        raise UserError(f"{str(folder.root)!r}: this folder holds no run, it has no {folder.config.name}")
    return config


def described(folder: Workdir, config: Config) -> tuple[tuple[int, int, int], tuple[str, ...]]:
    """Returns the image shape and the class names of the data that a run trains on."""
    about = pictures.recall(folder)
    if about is None and (config.run.data == data.ARRAYS or data.is_path(config.run.data)):
        raise pictures.missing(folder)
    about = about or find(config.run.data, image_size=config.run.image_size)
    return about.image_shape, about.class_names


@fixed_numerics()
def draw(
    run: LoadedRun,
    *,
    count: int,
    seed: int = 0,
    labels: int | Sequence[int] | Literal["all", "data"] | None = None,
    truncation: float | None = None,
    averaged: bool = True,
    way: int = 0,
) -> tuple[Images, Labels | None]:
    """Draws samples: with labels ``"data"``, or unconditional, those that ``jaxgan evaluate`` measures for the seed.

    Args:
      run: the loaded run.
      count: number of samples.
      seed: the seed of the samples; sample i depends only on the seed, i and its label.
      labels: the class to draw, or several in turn; None or ``"all"`` for all classes; ``"data"`` for the labels of as
        many training images. For conditional runs.
      truncation: factor on the latents, in [0, 1]; None for that of the run.
      averaged: whether to use the averaged parameters, if the run has them.
      way: if not 0, interpolates: replaces each sample by this many images on the way to the next one, and from the
        last to the first.

    Returns:
      The samples, and their labels; None if the run is unconditional.

    Raises:
      UserError: if the run draws no images, or an option is not allowed.
    """
    if run.method.generator is None:
        raise UserError(f"a run of {run.config.kind} draws no images")
    if not isinstance(count, int | np.integer) or not 1 <= count <= MOST:
        raise UserError(f"--count: {count} is not allowed, it must be at least 1 and at most {MOST}")
    if not isinstance(seed, int | np.integer) or not 0 <= seed < 2**32:
        raise UserError(f"--seed: {seed} is not allowed, it must be at least 0 and below {2**32}")
    if truncation is not None and not 0 <= truncation <= 1:
        raise UserError(f"--truncation: {truncation:g} is not allowed, it must be at least 0 and at most 1")
    generator = run.method.generator(run.state if averaged else run.state.replace(averaged=None))
    cycle = _labels(labels, generator.classes, run, count=count)
    if way and count > SAMPLE_BATCH:
        raise UserError(f"--count: {count} is not allowed with interpolation, it must be at most {SAMPLE_BATCH}")

    size = min(count, SAMPLE_BATCH)

    def latents_of(number: Array) -> Array:
        return draw_latents(generator, batch_key(seed, number), jnp.arange(size), truncation=truncation)

    @jax.jit
    def batch(number: Array, classes: tuple[Array, ...]) -> Array:
        return to_bytes(generator.images(latents_of(number), *classes))

    @jax.jit
    def interpolated(share: Array, classes: tuple[Array, ...]) -> Array:
        starts = latents_of(jnp.int32(0))
        latents = noise.interpolate(starts, jnp.roll(starts, -1, axis=0), share, generator.prior)
        return to_bytes(generator.images(latents, *classes))

    batches = by_batch(cycle, count, size=size)
    drawn = None if cycle is None else np.resize(cycle, count)
    if way:
        parts = [interpolated(np.float32(step / way), batches[0]) for step in range(way)]
        images = np.stack(parts, axis=1).reshape(count * way, *run.image_shape)
        return images, None if drawn is None else np.repeat(drawn, way)
    return np.concatenate([batch(np.int32(number), part) for number, part in enumerate(batches)])[:count], drawn


def _labels(
    chosen: int | Sequence[int] | Literal["all", "data"] | None, classes: int, run: LoadedRun, *, count: int
) -> Labels | None:
    """Returns the labels to draw in turn; None if the run is unconditional."""
    chosen = None if isinstance(chosen, str) and chosen == "all" else chosen
    if not classes:
        if chosen is not None:
            raise UserError("--labels: this run is unconditional, so its samples have no classes; leave it out")
        return None
    if chosen is None:
        return np.arange(classes, dtype=np.int32)
    if isinstance(chosen, str) and chosen == "data":
        about = run.config.run
        try:
            train = data.load(about.data, data_dir=about.data_dir, image_size=about.image_size)
            if len(train.class_names) != classes:
                raise UserError(f"it has changed to {len(train.class_names)} classes")
        except UserError as error:
            raise UserError(f"--labels: 'data' needs the data of the run; give all, or numbers ({error})") from error
        return train.labels[protocol.floor_choice(train.size, count=min(count, train.size))]
    numbers = np.atleast_1d(np.asarray(chosen))
    if numbers.ndim > 1 or not numbers.size or not np.issubdtype(numbers.dtype, np.integer):
        raise UserError(f"--labels: {chosen!r} is not allowed, give numbers of classes, from 0 to {classes - 1}")
    for label in numbers:
        if not 0 <= label < classes:
            raise UserError(f"--labels: {label} is not allowed, the classes are 0 to {classes - 1}")
    return numbers.astype(np.int32)
