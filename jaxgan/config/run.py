"""What a run is: a method, and where, how long and on what it trains."""

import contextlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from jaxgan.config.fields import number, steps_between
from jaxgan.config.methods import METHODS, Method, VanillaGAN

BestBy = Literal["none", "frechet_distance", "kernel_distance", "precision", "recall", "density", "coverage"]


@dataclass(frozen=True)
class Run:
    """Where the images come from, how long and on what the method trains, and what is written on the way."""

    workdir: Path = Path("runs/unnamed")  # folder for everything the run writes
    data: str = "mnist"  # data set: see `jaxgan data list`
    data_dir: Path | None = None  # folder of prepared TFDS data sets; None: TFDS_DATA_DIR or ~/tensorflow_datasets
    epochs: int = number(100)  # passes over the training images
    batch_size: int = number(64)  # images in a step, over all devices
    input: Literal["memory", "stream"] = "memory"  # hold all images on the devices, or read them as they are needed
    image_size: int | None = number(None)  # height and width to resize to, of a stream; None: as in the catalog
    accumulate: int = number(1)  # parts that a device's share is split into to save memory; batch norm is by part
    seed: int = number(0, low=0, high=2**32, open_high=True)  # every random number follows from it
    devices: int | None = number(None)  # devices of each process to train on; None: as many as divide the batch
    parallel: Literal["auto", "pmap", "shard_map"] = "auto"  # front end for several devices; auto: pmap in one process
    platform: Literal["auto", "cpu", "gpu", "tpu"] = "auto"  # kind of device; auto: the best one present
    coordinator: str | None = None  # HOST:PORT of process 0; None: as Cloud TPU, Slurm or Open MPI say
    process_count: int | None = number(None)  # processes in the run; None: as found; 1: this one alone
    process_index: int | None = number(None, low=0)  # which of them this is; None: as found
    checkpoint_every: int = number(10)  # epochs between checkpoints; the last epoch always has one
    resume: Literal["auto", "never", "must"] = "auto"  # go on from the workdir's checkpoint; never: start afresh
    log_every: int | None = number(None)  # steps between rows of metrics.jsonl; None: one row an epoch
    evaluate_every: int | None = number(None)  # epochs between evaluations of samples; None: never while training
    keep_best: BestBy = "none"  # keep the checkpoint that is best by this metric of --evaluate-every, in folder best
    sample_epochs: tuple[int, ...] = (1, 2, 4, 10, 50, 100)  # epochs after which the same latents are drawn
    profile: str | None = None  # START:STOP, steps that process 0 traces with jax.profiler, into WORKDIR/profile
    dry_run: bool = False  # print the resolved config, the networks and the cost of a step, and stop

    def __post_init__(self) -> None:
        """Takes paths as text too, and a leading ~ for the user's home."""
        for name in ("workdir", "data_dir"):
            if isinstance(path := getattr(self, name), str | Path):
                with contextlib.suppress(RuntimeError):  # no such home: the path is taken as it stands
                    object.__setattr__(self, name, Path(path))
                    object.__setattr__(self, name, Path(path).expanduser())
        object.__setattr__(self, "sample_epochs", tuple(self.sample_epochs))

    @property
    def profiled(self) -> range:
        """The steps that ``profile`` names, none without; raises UserError if it is no such thing."""
        return range(0) if self.profile is None else steps_between("--profile", self.profile)


# A finished part of a run does not depend on these, so they may differ when it goes on.
FREE_FIELDS = frozenset(
    {"workdir", "data_dir", "input", "epochs", "devices", "parallel", "platform"}
    | {"coordinator", "process_count", "process_index", "profile"}
    | {"checkpoint_every", "resume", "log_every", "sample_epochs", "dry_run"}
    | {"evaluate_every", "keep_best"}
)


@dataclass(frozen=True)
class Config:
    """One experiment: a method and the run that trains it."""

    method: Method = field(default_factory=VanillaGAN)
    run: Run = field(default_factory=Run)

    @property
    def kind(self) -> str:
        """The method's name, as ``config.json`` has it."""
        return next(name for name, cls in METHODS.items() if type(self.method) is cls)
