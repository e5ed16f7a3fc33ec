"""The designs that are compared, and the command that trains a method in each of them."""

from pathlib import Path
from typing import NamedTuple

FUNCTIONAL, PYTORCH, NNX = "functional JAX", "imperative PyTorch", "imperative NNX"
DESIGNS = (FUNCTIONAL, PYTORCH, NNX)
EXPERIMENTS = Path(__file__).parents[1]
NAMES = {FUNCTIONAL: "{}.py", PYTORCH: "imperative/{}.py", NNX: "imperative/nnx_{}.py"}


class Row(NamedTuple):
    """A row of the summary: a question, and what was found of each design."""

    question: str
    functional: str
    pytorch: str
    nnx: str = ""


def script(design: str, method: str) -> Path:
    """Names the script that trains a method in a design."""
    return EXPERIMENTS / NAMES[design].format(method)


def designs_of(method: str) -> tuple[str, ...]:
    """Lists the designs that a method is written in: NNX has the first two methods only."""
    return tuple(design for design in DESIGNS if script(design, method).exists())
