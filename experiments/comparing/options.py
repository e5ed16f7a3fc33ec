"""What the comparison of designs can be told."""

from dataclasses import dataclass
from pathlib import Path

METHODS = ("vanilla_gan", "dcgan", "wgan", "vae")
PARTS = ("trajectories", "speed", "lines", "spreading", "resuming", "hazards")


@dataclass(frozen=True)
class Options:
    """Compares the functional and the imperative design of the same programs, and writes one report."""

    methods: tuple[str, ...] = METHODS  # which methods to compare
    parts: tuple[str, ...] = PARTS  # what to measure; the others' numbers are kept from the last run into --out
    threads: int = 1  # CPU threads that every program has
    steps: int = 100  # steps of a trajectory
    repeats: int = 5  # turns of every program when steps per second are measured
    seconds: float = 0.5  # length of a turn
    starts: int = 1  # times to measure the time to the first step of every program, cold and warm; 0 leaves it out
    data_dir: Path | None = None  # folder of prepared TFDS data sets; None: TFDS_DATA_DIR or ~/tensorflow_datasets
    out: Path = Path("runs/functional_vs_imperative")  # folder for the report, the numbers and the figures
