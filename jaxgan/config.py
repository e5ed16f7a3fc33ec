"""The configuration of a run: a method, and where, how long and on what it trains; as JSON, and validated."""

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
    """Where the images come from, how long and on what the method trains, and what is written on the way."""

    workdir: Path = Path("runs/unnamed")  # folder for everything the run writes, or an address: see mirror
    mirror: str | None = None  # address to keep all of that at as well, such as gs://bucket/run or s3://bucket/run
    data: str = "mnist"  # data set: see `jaxgan data list`; or the path of pictures of your own
    data_dir: Path | None = None  # folder of prepared TFDS data sets; None: TFDS_DATA_DIR or ~/tensorflow_datasets
    epochs: int = number(100)  # passes over the training images
    batch_size: int = number(64)  # images per step, over all devices
    input: Literal["memory", "stream"] = "memory"  # all images on the devices, or read ahead of the steps
    image_size: int | None = number(None)  # height and width to resize your pictures or a stream to; None: as they are
    accumulate: int = number(1)  # parts of a device's batch, one after the other; batch norm is by part
    seed: int = number(0, low=0, high=2**32, open_high=True)  # every random number follows from it
    replicas: int = number(1, high=1024)  # runs trained together, of the seeds seed, seed + 1 and so on
    sweep: tuple[str, ...] = ()  # FIELD=NUMBER,NUMBER of the method: replicas for each, or each combination of several
    devices: int | None = number(None)  # devices of each process to train on; None: as many as divide the batch
    parallel: Literal["auto", "pmap", "shard_map"] = "auto"  # front end for several devices; auto: the faster one
    platform: Literal["auto", "cpu", "gpu", "tpu"] = "auto"  # kind of device; auto: the best one present
    coordinator: str | None = None  # HOST:PORT of process 0; None: as Cloud TPU, Slurm or Open MPI say
    process_count: int | None = number(None)  # processes in the run; None: as found; 1: this one alone
    process_index: int | None = number(None, low=0)  # which of them this is; None: as found
    checkpoint_every: int = number(10)  # epochs between checkpoints; the last epoch always has one
    resume: Literal["auto", "never", "must"] = "auto"  # go on from the workdir's checkpoint; never: start afresh
    log_every: int | None = number(None)  # steps between rows of metrics.jsonl; None: one row per epoch
    evaluate_every: int | None = number(None)  # epochs between evaluations of samples; None: never while training
    keep_best: BestBy = "none"  # keep the checkpoint that is best by this metric of --evaluate-every, in folder best
    sample_epochs: tuple[int, ...] = (1, 2, 4, 10, 50, 100)  # epochs after which the same latents are drawn
    profile: str | None = None  # START:STOP, steps that process 0 traces with jax.profiler, into WORKDIR/profile
    debug_nans: bool = False  # where a loss is not finite, repeat the steps and name the operation: on one device
    dry_run: bool = False  # print the resolved config, the networks and the cost of a step, and stop
    target: str | None = None  # with --dry-run: TPUs that are not here to compile for, such as v5e:4x4

    def __post_init__(self) -> None:
        """Accepts paths as text, a leading ~ for the user's home, and in the workdir's place an address."""
        if isinstance(self.workdir, str | Path) and self.mirror is None and (address := address_of(self.workdir)):
            object.__setattr__(self, "mirror", address)
            object.__setattr__(self, "workdir", local_folder(address))
        for name in ("workdir", "data_dir"):
            if isinstance(path := getattr(self, name), str | Path) and path != "":  # which would be the current folder
                with contextlib.suppress(RuntimeError):  # no such home: the path is taken as it stands
                    object.__setattr__(self, name, Path(path))
                    object.__setattr__(self, name, Path(path).expanduser())
        if isinstance(self.data, Path):
            object.__setattr__(self, "data", str(self.data))
        if isinstance(self.data, str) and is_path(self.data):  # to be found again from another folder
            with contextlib.suppress(RuntimeError):
                object.__setattr__(self, "data", str(Path(self.data).expanduser().absolute()))
        for name in ("sample_epochs", "sweep"):
            if isinstance(values := getattr(self, name), Iterable) and not isinstance(values, str):
                object.__setattr__(self, name, tuple(values))

    @property
    def profiled(self) -> range:
        """The steps that ``profile`` names, none without; raises UserError if it is no such thing."""
        return range(0) if self.profile is None else steps_between("--profile", self.profile)

    @property
    def several(self) -> bool:
        """Whether this is a run of replicas."""
        return self.replicas > 1 or bool(self.sweep)


# The numbers of a run do not depend on these, so they may differ when it goes on.
FREE_FIELDS = frozenset(
    {"workdir", "mirror", "data_dir", "input", "epochs", "devices", "parallel", "platform"}
    | {"coordinator", "process_count", "process_index", "profile"}
    | {"checkpoint_every", "resume", "log_every", "sample_epochs", "debug_nans", "dry_run", "target"}
    | {"evaluate_every", "keep_best", "title"}
)

RENAMED_FIELDS = {"latent_law": "prior"}  # what earlier versions called a field of a method


@dataclass(frozen=True)
class Config:
    """One experiment: a method and the run that trains it."""

    method: MethodConfig = field(default_factory=Own)
    run: Run = field(default_factory=Run)

    @property
    def kind(self) -> str:
        """The method's name, as ``config.json`` has it."""
        return kind_of(self.method)


def to_json(config: Config) -> str:
    """Writes a config as the JSON text that :func:`from_json` reads."""
    tree = {
        "method": {"kind": config.kind, **dataclasses.asdict(config.method)},
        "run": dataclasses.asdict(config.run),
    }
    return json.dumps(tree, indent=2, default=str) + "\n"


def from_json(text: str, *, source: str) -> Config:
    """Reads a config back from JSON.

    Args:
      text: what :func:`to_json` wrote.
      source: where the text came from, for the error.

    Returns:
      The config, validated.

    Raises:
      UserError: if the text is no such JSON, names an unknown method, or lacks a field, or has one too many or out of
        bounds.
    """
    try:
        tree = json.loads(text)
        method = dict(tree["method"])
        run = dict(tree["run"])
        kind = method.pop("kind")
        if kind not in (known := entries()):
            raise unknown_choice(f"{source}: method kind", kind, known)
        method: dict[str, Any] = {RENAMED_FIELDS.get(name, name): value for name, value in method.items()}
        made = known[kind].config
        config = Config(made(**(getattr(made, "former_defaults", {}) | method)), Run(**run))
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise UserError(f"{source}: damaged, it is not the config of a run ({error!r})") from error
    try:
        validate(config)
    except UserError as error:
        raise UserError(f"{source}: damaged, {error}") from error
    return config


def changed_fields(old: Config, new: Config) -> list[str]:
    """Lists the fields in which two configs differ and on which the numbers of a run depend, with both values."""
    return [
        f"--{f.name.replace('_', '-')} ({before} in the run, {after} asked for)"
        for a, b in ((old.method, new.method), (old.run, new.run))
        for f in dataclasses.fields(a)
        if f.name not in FREE_FIELDS and (before := getattr(a, f.name)) != (after := getattr(b, f.name))
    ]


def validate(config: Config) -> None:
    """Checks every field against its type, its choices and its interval.

    Raises:
      UserError: naming the first field that is out of bounds.
    """
    kind_of(config.method)  # raises for what is no method's config
    for part in (config.method, config.run):
        check_all(part)
    _ = config.run.profiled  # raises for what is no stretch of steps
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
        raise UserError(f"--target: {config.run.target!r} is for a dry run of a single run, {way_out}")
    _ = replica_configs(config)  # raises for a sweep of no such fields or values
    if config.run.several:
        _check_replicas(config.run)


def _check_replicas(run: Run) -> None:
    """Refuses what does not go together with more than one replica."""
    flag = "--sweep" if run.sweep else "--replicas"
    if run.input == "stream":
        raise UserError(f"{flag}: replicas need all images in memory, each has its own order; leave out --input stream")
    if run.keep_best != "none":
        raise UserError(f"--keep-best: {run.keep_best!r} is for a single run and not for the replicas of {flag}")
    if run.debug_nans:
        raise UserError(f"--debug-nans: is for a single run and not for the replicas of {flag}; train that seed alone")


def real_fields(config: Config) -> list[str]:
    """The fields of the method that are real numbers; those that count are not."""
    hints = typing.get_type_hints(type(config.method))
    names = [f.name for f in dataclasses.fields(config.method)]
    return [name for name in names if float in (hints[name], *typing.get_args(hints[name]))]


def swept_fields(config: Config) -> dict[str, tuple[float, ...]]:
    """Reads the sweep of a run: the values of each field of the method that is swept.

    Raises:
      UserError: if a field is none of the method, or no real number, or a value is not allowed for it.
    """
    found, real = {}, real_fields(config)
    bounds = {f.name: f.metadata for f in dataclasses.fields(config.method)}
    for text in config.run.sweep:
        name, equals, values = str(text).partition("=")
        name = name.strip().replace("-", "_")
        if not equals:
            near = f"{real[0]}=1e-4,3e-4" if real else "FIELD=1e-4,3e-4"
            raise UserError(f"--sweep: {text!r} is not allowed, it must be FIELD=NUMBER,NUMBER, such as {near}")
        if name not in real:
            raise unknown_choice("--sweep: field", name, real)
        if name in found:
            raise UserError(f"--sweep: {name!r} is given twice, give all of its numbers at once")
        try:
            found[name] = tuple(float(value) for value in values.split(","))
        except ValueError:
            raise UserError(f"--sweep: {values!r} is not allowed for {name}, it must be NUMBER,NUMBER") from None
        for value in found[name]:
            check(f"--sweep: {name}", value, float, bounds[name])
    return found


def replica_configs(config: Config) -> list[Config]:
    """Lists the configs of the runs that a config stands for.

    Args:
      config: the experiment.

    Returns:
      A config of a single run for each replica: for each combination of swept values, the last field's changing
      fastest, ``replicas`` seeds.

    Raises:
      UserError: if the sweep is not allowed, or the replicas or their seeds are too many.
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
    """Compares the schedules of a method's learning rates with the length of the run.

    Returns:
      A line for each schedule that the run does not reach the end of, and for each warm-up.

    Raises:
      UserError: if a schedule ends before the run does, which would then change nothing more.
    """
    told = []
    for f in dataclasses.fields(config.method):
        flag, steps = f"--{f.name.replace('_', '-')}", getattr(config.method, f.name)
        if f.metadata.get("warmup") and steps >= total_steps:
            told.append(f"{flag}: learning rates rise until step {steps}, but the run ends with step {total_steps}")
        if not f.metadata.get("schedule") or not steps or steps == total_steps:
            continue
        if steps < total_steps:
            epochs = steps // steps_per_epoch
            shorter = f"--epochs {epochs}, or " if epochs else ""
            raise UserError(
                f"{flag}: {steps} is not allowed, learning rates are 0 from then on and the run ends with step "
                f"{total_steps}; give {shorter}{flag} {total_steps} in a new --workdir"
            )
        told.append(
            f"{flag}: learning rates fall to 0 at step {steps}, but the run ends with step {total_steps}; "
            f"{flag} {total_steps} fits"
        )
    return told
