"""What a run is: frozen dataclasses that say what is trained, on what, for how long and where.

A :class:`Config` is all that a run depends on. It is what the command line fills in, what ``config.json`` in a workdir
holds, and what :func:`jaxgan.methods.build` makes a method from. The comment beside a field is its help text.
"""

import contextlib
import dataclasses
import json
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

from jaxgan.errors import UserError, unknown_choice


def _number(default: float | None, *, low: float = 1, high: float = float("inf"), open_high: bool = False) -> Any:
    """Declares a numeric field together with the closed (or half-open) interval it may lie in."""
    return field(default=default, metadata={"low": low, "high": high, "open_high": open_high})


@dataclass(frozen=True)
class VanillaGAN:
    """The chapter's first GAN: two fully connected networks, binary cross-entropy, Adam (Goodfellow et al. 2014)."""

    title: ClassVar[str] = "Vanilla GAN"

    latent_size: int = _number(20)  # numbers in the latent vector z
    latent_law: Literal["uniform", "normal"] = "uniform"  # law of each number of z: U[-1, 1] or N(0, 1)
    hidden_layers: int = _number(1)  # hidden layers of each network
    hidden_units: int = _number(100)  # units in each hidden layer
    hidden_bias: bool = True  # biases in the generator's hidden layers (the discriminator's have none)
    negative_slope: float = _number(0.01, low=0, high=1)  # slope of LeakyReLU below zero
    dropout_rate: float = _number(0.5, low=0, high=1, open_high=True)  # share of discriminator units dropped
    initialization: Literal["torch", "lecun"] = "torch"  # weights: U(+-1/sqrt(fan_in)), biases too, or LeCun normal
    generator_learning_rate: float = _number(1e-3, low=0)  # Adam step size of the generator
    discriminator_learning_rate: float = _number(1e-3, low=0)  # Adam step size of the discriminator
    beta1: float = _number(0.9, low=0, high=1, open_high=True)  # Adam decay of the gradient's mean
    beta2: float = _number(0.999, low=0, high=1, open_high=True)  # Adam decay of the squared gradient's mean
    ema_decay: float = _number(0.0, low=0, high=1, open_high=True)  # decay of the averaged generator; 0 keeps none


Method = VanillaGAN  # becomes a union as methods are added; the class is the `kind` in config.json
METHODS: Mapping[str, type[Method]] = types.MappingProxyType({"vanilla_gan": VanillaGAN})


@dataclass(frozen=True)
class Run:
    """Where the images come from, how long and on what the method trains, and what is written on the way."""

    workdir: Path = Path("runs/unnamed")  # folder for everything the run writes
    data: str = "mnist"  # data set: see `jaxgan data list`
    data_dir: Path | None = None  # folder of prepared TFDS data sets; None: TFDS_DATA_DIR or ~/tensorflow_datasets
    epochs: int = _number(100)  # passes over the training images
    batch_size: int = _number(64)  # images in a step, over all devices
    seed: int = _number(0, low=0, high=2**32, open_high=True)  # every random number follows from it
    devices: int | None = _number(None)  # local devices to train on; None: as many as divide the batch
    parallel: Literal["auto", "pmap", "shard_map"] = "auto"  # front end for several devices; auto: pmap
    platform: Literal["auto", "cpu", "gpu", "tpu"] = "auto"  # kind of device; auto: the best one present
    checkpoint_every: int = _number(10)  # epochs between checkpoints; the last epoch always has one
    resume: Literal["auto", "never", "must"] = "auto"  # go on from the workdir's checkpoint; never: start afresh
    log_every: int | None = _number(None)  # steps between rows of metrics.jsonl; None: one row an epoch
    sample_epochs: tuple[int, ...] = (1, 2, 4, 10, 50, 100)  # epochs after which the same latents are drawn
    dry_run: bool = False  # print the resolved config, the networks and the cost of a step, and stop

    def __post_init__(self) -> None:
        """Takes paths as text too, and a leading ~ for the user's home."""
        for name in ("workdir", "data_dir"):
            if isinstance(path := getattr(self, name), str | Path):
                with contextlib.suppress(RuntimeError):  # no such home: the path is taken as it stands
                    object.__setattr__(self, name, Path(path))
                    object.__setattr__(self, name, Path(path).expanduser())
        object.__setattr__(self, "sample_epochs", tuple(self.sample_epochs))


# A finished part of a run does not depend on these, so they may differ when it goes on.
FREE_FIELDS = frozenset(
    {"workdir", "data_dir", "epochs", "devices", "parallel", "platform"}
    | {"checkpoint_every", "resume", "log_every", "sample_epochs", "dry_run"}
)


@dataclass(frozen=True)
class Config:
    """One experiment: a method and the run that trains it."""

    method: Method = VanillaGAN()
    run: Run = Run()

    @property
    def kind(self) -> str:
        """The method's name, as ``config.json`` has it."""
        return next(name for name, cls in METHODS.items() if isinstance(self.method, cls))


def validate(config: Config) -> None:
    """Checks every field against its type, its choices and its interval.

    Args:
      config: the experiment asked for.

    Raises:
      UserError: naming the first field that is out of bounds.
    """
    for part in (config.method, config.run):
        hints = typing.get_type_hints(type(part))
        for f in dataclasses.fields(part):
            _check(f"--{f.name.replace('_', '-')}", getattr(part, f.name), hints[f.name], f.metadata)
    for epoch in config.run.sample_epochs:
        _check("--sample-epochs", epoch, int, {"low": 1, "high": float("inf"), "open_high": False})


def _check(flag: str, value: Any, hint: Any, bounds: Mapping[str, Any]) -> None:
    options = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    if value is None and type(None) in options:
        return
    kind = next(option for option in options if option is not type(None))
    if typing.get_origin(kind) is Literal:
        if value not in typing.get_args(kind):
            raise unknown_choice(flag, str(value), typing.get_args(kind))
        return
    base = typing.get_origin(kind) or kind
    accepted = (int, float) if base is float else (base,)
    if not isinstance(value, accepted) or (isinstance(value, bool) and base is not bool):
        raise UserError(f"{flag}: {value!r} is not allowed, it must be of type {base.__name__}")
    if not bounds:
        return
    beyond = value >= bounds["high"] if bounds["open_high"] else value > bounds["high"]
    if not value >= bounds["low"] or beyond or value == float("inf"):
        upper = f" and {'below' if bounds['open_high'] else 'at most'} {bounds['high']}"
        upper = " and finite" * (base is float) if bounds["high"] == float("inf") else upper
        raise UserError(f"{flag}: {value} is not allowed, it must be at least {bounds['low']}{upper}")


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
        if kind not in METHODS:
            raise unknown_choice(f"{source}: method kind", kind, METHODS)
        config = Config(method=METHODS[kind](**method), run=Run(**run))
    except (json.JSONDecodeError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{source}: damaged, it is not the config of a run ({error!r})") from error
    try:
        validate(config)
    except UserError as error:
        raise UserError(f"{source}: damaged, {error}") from error
    return config


def changed_fields(old: Config, new: Config) -> list[str]:
    """Lists the fields in which two configs differ and on which the numbers of a run depend.

    Args:
      old: the config that a run was started with.
      new: the config that it shall go on with.

    Returns:
      One text a field, such as ``--seed (0 in the run, 1 asked for)``.
    """
    return [
        f"--{f.name.replace('_', '-')} ({before} in the run, {after} asked for)"
        for a, b in ((old.method, new.method), (old.run, new.run))
        for f in dataclasses.fields(a)
        if f.name not in FREE_FIELDS and (before := getattr(a, f.name)) != (after := getattr(b, f.name))
    ]
