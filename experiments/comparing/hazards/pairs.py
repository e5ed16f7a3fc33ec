"""A hazard's runnable pair: one program, run with a correct and with a mistaken piece, and what that did."""

import ast
import difflib
import inspect
import textwrap
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

Quantities = Mapping[str, np.ndarray]  # numbers, series [n], or images [n, height, width, channels] in [-1, 1]

NO_STATE, SILENT = "no such state", "silent"


@dataclass(frozen=True)
class Setting:
    """What every pair is run on.

    Attributes:
      images: the training images.
      steps: how many.
      batch_size: images in a step, taken in the order of the data.
      width: of the DCGAN, where batch statistics are needed.
      count: images that are drawn and compared after training.
      look_every: steps between two looks at the samples, where the program looks at them.
      seed: of weights and noise.
    """

    images: UInt8[np.ndarray, "n height width channels"]
    steps: int = 100
    batch_size: int = 64
    width: int = 8
    count: int = 64
    look_every: int = 10
    seed: int = 0

    def batches(self) -> Iterator[Float[np.ndarray, "batch height width channels"]]:
        """Gives the batch of each step, in [-1, 1]."""
        for step in range(self.steps):
            chosen = np.arange(step * self.batch_size, (step + 1) * self.batch_size) % len(self.images)
            yield self.images[chosen].astype(np.float32) / 127.5 - 1

    def looks(self, step: int) -> bool:
        """Whether the program looks at its samples after a step, counted from 0."""
        return (step + 1) % self.look_every == 0


class Pair(NamedTuple):
    """A program that is run twice.

    Attributes:
      program: what kind of program it is, in a few words.
      run: from (setting, piece) to what is compared.
      correct: the piece as it should be.
      mistaken: the same with one mistake in it.
    """

    program: str
    run: Callable[[Setting, Callable], Quantities]
    correct: Callable
    mistaken: Callable


def body(function: Callable) -> list[str]:
    """The lines of a function, without its signature and its docstring."""
    source = textwrap.dedent(inspect.getsource(function))
    statements = ast.parse(source).body[0].body
    first = statements[1] if ast.get_docstring(ast.parse(source).body[0]) else statements[0]
    decorators = getattr(first, "decorator_list", [])
    start = min([first.lineno, *(decorator.lineno for decorator in decorators)])
    return textwrap.dedent("\n".join(source.splitlines()[start - 1 :])).splitlines()


def mistake(pair: Pair) -> str:
    """Shows what tells the mistaken piece from the correct one, as a diff of the sources that are run."""
    lines = list(difflib.unified_diff(body(pair.correct), body(pair.mistaken), n=1, lineterm=""))[3:]
    return "\n".join("  ..." if line.startswith("@@") else line.rstrip() for line in lines)


def observe(pair: Pair, setting: Setting) -> dict[str, Any]:
    """Runs a pair and compares.

    Args:
      pair: the two programs.
      setting: what they are run on.

    Returns:
      ``program``; ``mistake``, the lines; ``happens``: "raises" or "warns" with the first line of the message,
      "silent", or "no such state" where the mistaken run equals the correct one bit for bit; and ``effects`` by
      quantity, see :func:`effect`, empty where the mistaken run did not come to its end.
    """
    correct, _, before = _run(pair.run, setting, pair.correct)
    mistaken, raised, after = _run(pair.run, setting, pair.mistaken, catch=True)
    effects = {} if raised else {name: effect(correct[name], mistaken[name]) for name in correct}
    same = all(np.array_equal(correct[name], mistaken[name]) for name in effects)
    warned = [f"warns {line}" for line in after if line not in before]
    happens = raised or next(iter(warned), NO_STATE if same else SILENT)
    return {"program": pair.program, "mistake": mistake(pair), "happens": happens, "effects": effects}


def _run(
    run: Callable[[Setting, Callable], Quantities], setting: Setting, piece: Callable, *, catch: bool = False
) -> tuple[dict[str, np.ndarray], str, list[str]]:
    """What a program gives, what it raised where that is to be caught, and what it warned of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            found, raised = {name: np.asarray(value) for name, value in run(setting, piece).items()}, ""
        except Exception as error:  # which one it is, is what is measured
            if not catch:
                raise
            found, raised = {}, f"raises {_first_line(error)}"
    return found, raised, [_first_line(warning.message) for warning in caught]


def _first_line(message: BaseException) -> str:
    return textwrap.shorten(f"{type(message).__name__}: {str(message).splitlines()[0]}", 100, placeholder=" ...")


def effect(correct: np.ndarray, mistaken: np.ndarray) -> dict[str, float]:
    """Compares a quantity of both runs.

    Args:
      correct: a number, a series or images.
      mistaken: the same of the mistaken run.

    Returns:
      For images ``grey_levels``, the mean absolute difference of a pixel where white is 255, and ``pixels``, the share
      of them that differ as bytes; otherwise both means, and ``difference``, the mean absolute difference.
    """
    if correct.ndim == 4:
        first, second = (np.clip(np.round((x + 1) * 127.5), 0, 255) for x in (correct, mistaken))
        return {
            "grey_levels": float(np.mean(np.abs(correct - mistaken, dtype=np.float64)) * 127.5),
            "pixels": float(np.mean(first != second)),
        }
    gap = np.mean(np.abs(correct - mistaken, dtype=np.float64))
    return {"correct": float(np.mean(correct)), "mistaken": float(np.mean(mistaken)), "difference": float(gap)}
