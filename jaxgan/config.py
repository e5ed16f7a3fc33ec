"""The config of a run: a method and the options of its training, with JSON conversion and validation."""

import contextlib
import dataclasses
import itertools
import json
import math
import typing
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from jaxgan.data import is_path
from jaxgan.errors import UserError, unknown_choice
from jaxgan.fields import address_of, check, check_all, local_folder, number, steps_between
from jaxgan.methods import MethodConfig, Own, entries, kind_of

BestBy = Literal["none", "frechet_distance", "kernel_distance", "precision", "recall", "density", "coverage"]


@dataclass(frozen=True)
class Run:
    """The options of a run: its data, length, devices and outputs."""

    workdir: Path = Path("runs/unnamed")  # folder for all outputs, or an address as for --mirror
    mirror: str | None = None  # address of a copy of the workdir, such as gs://bucket/run or s3://bucket/run
    data: str = "mnist"  # data set, see `jaxgan data list`; or the path of your own pictures
    data_dir: Path | None = None  # folder of prepared TFDS data sets; None: TFDS_DATA_DIR or ~/tensorflow_datasets
    epochs: int = number(100)  # passes over the training images
    batch_size: int = number(64)  # global batch size: images per step, over all devices
    input: Literal["memory", "stream"] = "memory"  # keep all images on the devices, or stream them from disk
    image_size: int | None = number(None)  # height and width to resize your pictures or a stream to; None: default size
    accumulate: int = number(1)  # microbatches of a device's batch, to save memory; batch norm is per microbatch
    seed: int = number(0, low=0, high=2**32, open_high=True)  # seed of all random numbers
    replicas: int = number(1, high=1024)  # runs to train together, with seeds seed, seed + 1 and so on
    sweep: tuple[str, ...] = ()  # FIELD=NUMBER,NUMBER of the method: train replicas for every combination
    devices: int | None = number(None)  # devices per process; None: as many as divide the batch size
    parallel: Literal["auto", "pmap", "shard_map"] = "auto"  # transform over devices; auto: the faster one
    platform: Literal["auto", "cpu", "gpu", "tpu"] = "auto"  # kind of device; auto: the best available
    coordinator: str | None = None  # HOST:PORT of process 0; None: detect on Cloud TPU, Slurm or Open MPI
    process_count: int | None = number(None)  # number of processes; None: detect; 1: only this process
    process_index: int | None = number(None, low=0)  # index of this process; None: detect
    checkpoint_every: int = number(10)  # epochs between checkpoints; the last epoch is always saved
    resume: Literal["auto", "never", "must"] = "auto"  # auto: resume if possible; must: or fail; never: replace the run
    log_every: int | None = number(None)  # steps between rows of metrics.jsonl; None: one row per epoch
    evaluate_every: int | None = number(None)  # epochs between evaluations of samples; None: no evaluation
    keep_best: BestBy = "none"  # metric of --evaluate-every that chooses the checkpoint in WORKDIR/best
    sample_epochs: tuple[int, ...] = (1, 2, 4, 10, 50, 100)  # epochs after which to save samples of the same latents
    profile: str | None = None  # START:STOP, steps to trace with jax.profiler on process 0, into WORKDIR/profile
    debug_nans: bool = False  # if a loss is not finite, repeat the steps and name the operation; one device only
    dry_run: bool = False  # print the resolved config, the networks and the cost of a step, then stop
    target: str | None = None  # with --dry-run: absent TPUs to compile for, such as v5e:4x4

    def __post_init__(self) -> None:
        """Converts text to paths, expands a leading ~, and replaces an address as workdir by a local folder."""
        if isinstance(self.workdir, str | Path) and self.mirror is None and (address := address_of(self.workdir)):
            object.__setattr__(self, "mirror", address)
            object.__setattr__(self, "workdir", local_folder(address))
        for name in ("workdir", "data_dir"):
            if isinstance(path := getattr(self, name), str | Path) and path != "":  # as a Path, the working directory
                with contextlib.suppress(RuntimeError):  # no such home: the path stays unchanged
                    object.__setattr__(self, name, Path(path))
                    object.__setattr__(self, name, Path(path).expanduser())
        if isinstance(self.data, Path):
            object.__setattr__(self, "data", str(self.data))
        if isinstance(self.data, str) and is_path(self.data):  # the same in any working directory
            with contextlib.suppress(RuntimeError):
                object.__setattr__(self, "data", str(Path(self.data).expanduser().absolute()))
        for name in ("sample_epochs", "sweep"):
            if isinstance(values := getattr(self, name), Iterable) and not isinstance(values, str):
                object.__setattr__(self, name, tuple(values))

    @property
    def profiled(self) -> range:
        """The steps that ``profile`` names, empty for None; raises UserError if it is not START:STOP."""
        return range(0) if self.profile is None else steps_between("--profile", self.profile)

    @property
    def several(self) -> bool:
        """Whether the run trains replicas."""
        return self.replicas > 1 or bool(self.sweep)


# The numbers of a run do not depend on these fields, so they may change when it resumes.
FREE_FIELDS = frozenset(
    {"workdir", "mirror", "data_dir", "input", "epochs", "devices", "parallel", "platform"}
    | {"coordinator", "process_count", "process_index", "profile"}
    | {"checkpoint_every", "resume", "log_every", "sample_epochs", "debug_nans", "dry_run", "target"}
    | {"evaluate_every", "keep_best", "title"}
)

RENAMED_FIELDS = {"latent_law": "prior"}  # fields of methods, by their names in earlier versions


@dataclass(frozen=True)
class Config:
    """One experiment: a method and the run that trains it."""

    method: MethodConfig = field(default_factory=Own)
    run: Run = field(default_factory=Run)

    @property
    def kind(self) -> str:
        """The name of the method, as in ``config.json``."""
        return kind_of(self.method)


def to_json(config: Config) -> str:
    """Returns a config as JSON text for :func:`from_json`."""
    tree = {
        "method": {"kind": config.kind, **dataclasses.asdict(config.method)},
        "run": dataclasses.asdict(config.run),
    }
    return json.dumps(tree, indent=2, default=str) + "\n"


def from_json(text: str, *, source: str) -> Config:
    """Reads a config from JSON.

    Args:
      text: the result of :func:`to_json`.
      source: the origin of the text, for errors.

    Returns:
      The config, validated.

    Raises:
      UserError: if the text is not the JSON of a config, or a method or field is unknown, missing or out of bounds.
    """
    try:
        tree = json.loads(text)
        method = dict(tree["method"])
        run = dict(tree["run"])
        kind = method.pop("kind")
        if kind not in (known := entries()):
            raise unknown_choice(f"{source}: method kind", kind, known)
        method: dict[str, Any] = {RENAMED_FIELDS.get(name, name): value for name, value in method.items()}
        method_config = known[kind].config
        config = Config(method_config(**(getattr(method_config, "former_defaults", {}) | method)), Run(**run))
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise UserError(f"{source}: damaged, it is not the config of a run ({error!r})") from error
    try:
        validate(config)
    except UserError as error:
        raise UserError(f"{source}: damaged, {error}") from error
    return config


def changed_fields(old: Config, new: Config) -> list[str]:
    """Lists the fields that differ between two configs and change the numbers of a run, with both values."""
    return [
        f"--{f.name.replace('_', '-')} ({before} in the run, {after} asked for)"
        for a, b in ((old.method, new.method), (old.run, new.run))
        for f in dataclasses.fields(a)
        if f.name not in FREE_FIELDS
        and (before := getattr(a, f.name)) != (after := getattr(b, f.name))
        and not (f.name == "data" and is_path(before) and is_path(after))  # moved pictures have the same fingerprint
    ]


def validate(config: Config) -> None:
    """Checks every field against its type, its choices and its interval.

    Raises:
      UserError: naming the first field that is out of bounds.
    """
    kind_of(config.method)  # raises if it is not a method's config
    for part in (config.method, config.run):
        check_all(part)
    _ = config.run.profiled  # raises if it is not START:STOP
    if config.run.mirror is not None and address_of(config.run.mirror) != config.run.mirror:
        raise UserError(
            f"--mirror: {config.run.mirror!r} is not allowed, it must be an address, such as gs://bucket/run"
        )
    if config.run.keep_best != "none" and config.run.evaluate_every is None:
        raise UserError(f"--keep-best: {config.run.keep_best!r} needs --evaluate-every, the epochs between evaluations")
    for epoch in config.run.sample_epochs:
        check("--sample-epochs", epoch, int, {"low": 1, "high": float("inf"), "open_high": False})
    if config.run.target is not None and (config.run.several or not config.run.dry_run):
        way_out = "leave out replicas" if config.run.dry_run else "add --dry-run"
        raise UserError(f"--target: {config.run.target!r} is only for a dry run of a single run, {way_out}")
    _ = replica_configs(config)  # raises if a swept field or value is not allowed
    if config.run.several:
        _check_replicas(config.run)


def _check_replicas(run: Run) -> None:
    """Raises UserError for options that replicas do not support."""
    flag = "--sweep" if run.sweep else "--replicas"
    if run.input == "stream":
        raise UserError(f"{flag}: replicas shuffle separately and need all images in memory; leave out --input stream")
    if run.keep_best != "none":
        raise UserError(f"--keep-best: {run.keep_best!r} is only for a single run, not for the replicas of {flag}")
    if run.debug_nans:
        raise UserError(f"--debug-nans: is only for a single run, not for the replicas of {flag}; train one seed alone")


def real_fields(config: Config) -> list[str]:
    """Lists the real-valued fields of the method, which can be swept."""
    hints = typing.get_type_hints(type(config.method))
    names = [f.name for f in dataclasses.fields(config.method)]
    return [name for name in names if float in (hints[name], *typing.get_args(hints[name]))]


def swept_fields(config: Config) -> dict[str, tuple[float, ...]]:
    """Parses the sweep of a run into values by field of the method.

    Raises:
      UserError: if the method has no such real-valued field, or a value is not allowed for it.
    """
    swept, real = {}, real_fields(config)
    bounds = {f.name: f.metadata for f in dataclasses.fields(config.method)}
    for text in config.run.sweep:
        name, equals, values = str(text).partition("=")
        name = name.strip().replace("-", "_")
        if not equals:
            near = f"{real[0]}=1e-4,3e-4" if real else "FIELD=1e-4,3e-4"
            raise UserError(f"--sweep: {text!r} is not allowed, it must be FIELD=NUMBER,NUMBER, such as {near}")
        if name not in real:
            raise unknown_choice("--sweep: field", name, real)
        if name in swept:
            raise UserError(f"--sweep: {name!r} is given twice, give all of its numbers at once")
        try:
            swept[name] = tuple(float(value) for value in values.split(","))
        except ValueError:
            raise UserError(f"--sweep: {values!r} is not allowed for {name}, it must be NUMBER,NUMBER") from None
        for value in swept[name]:
            check(f"--sweep: {name}", value, float, bounds[name])
    return swept


def replica_configs(config: Config) -> list[Config]:
    """Lists the configs of the replicas of a run.

    Args:
      config: the config of all of them.

    Returns:
      A config of a single run for each replica: ``replicas`` seeds for each combination of swept values, in which the
      last field changes fastest.

    Raises:
      UserError: if the sweep is not allowed, there are too many replicas, or a seed is too large.
    """
    run, swept = config.run, swept_fields(config)
    bounds = {f.name: f.metadata["high"] for f in dataclasses.fields(run) if f.name in ("replicas", "seed")}
    count = run.replicas * math.prod(map(len, swept.values()))
    if count > bounds["replicas"]:
        raise UserError(f"--sweep: {count} replicas are not allowed, they must be at most {bounds['replicas']}")
    if run.seed + run.replicas > bounds["seed"]:
        raise UserError(
            f"--replicas: {run.replicas} seeds from {run.seed} on are not allowed, they must be below {bounds['seed']}"
        )
    if not run.several:
        return [config]
    return [
        Config(
            dataclasses.replace(config.method, **dict(zip(swept, values, strict=True))),
            dataclasses.replace(run, seed=run.seed + number, replicas=1, sweep=()),
        )
        for values in itertools.product(*swept.values())
        for number in range(run.replicas)
    ]


def check_schedules(config: Config, *, total_steps: int, steps_per_epoch: int) -> list[str]:
    """Compares the learning rate schedules of a method with the length of the run.

    Returns:
      A line for each decay or warmup that the run is too short to finish.

    Raises:
      UserError: if a learning rate is 0 before the run ends, so that the remaining steps change nothing.
    """
    notes = []
    for f in dataclasses.fields(config.method):
        flag, steps = f"--{f.name.replace('_', '-')}", getattr(config.method, f.name)
        if f.metadata.get("warmup") and steps >= total_steps:
            notes.append(f"{flag}: learning rates rise until step {steps}, but the run ends with step {total_steps}")
        if not f.metadata.get("schedule") or not steps or steps == total_steps:
            continue
        if steps < total_steps:
            epochs = steps // steps_per_epoch
            shorter = f"--epochs {epochs}, or " if epochs else ""
            raise UserError(
                f"{flag}: {steps} is not allowed, learning rates are 0 from then on and the run ends with step "
                f"{total_steps}; give {shorter}{flag} {total_steps} in a new --workdir"
            )
        notes.append(
            f"{flag}: learning rates fall to 0 at step {steps}, but the run ends with step {total_steps}; "
            f"{flag} {total_steps} fits"
        )
    return notes
