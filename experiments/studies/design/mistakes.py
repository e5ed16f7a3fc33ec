"""The section on hazards: runs every hazard, and formats the outcomes as a table, a figure and diffs."""

import importlib
import pkgutil
from collections.abc import Sequence
from types import ModuleType

import numpy as np
from studies import figures, markdown
from studies.design import hazards
from studies.design.hazards import FUNCTIONAL, IMPERATIVE, Outcome, effects, observe

FOLDER = "../../studies/design/hazards"  # relative to the report in the gallery
LEGEND = """\
Each row is one file, which can be run alone and prints both outcomes. Right and wrong programs have equal
weights, images and random numbers. *Silent*: no error is raised, and the results differ. *No effect*: the results are
equal bit for bit. Numbers are means over steps, right → wrong, and the mean absolute difference per step ("apart")."""
KINDS = {"silent": "silent", "no effect": "without effect", "raises": "with an error"}

Found = Sequence[tuple[ModuleType, Sequence[Outcome]]]


def measure() -> Found:
    """Runs the pairs of every hazard, in alphabetical order."""
    modules = [
        importlib.import_module(f"{hazards.__name__}.{file.name}") for file in pkgutil.iter_modules(hazards.__path__)
    ]
    return [(module, [observe(pair) for pair in module.PAIRS]) for module in modules]


def section(found: Found) -> str:
    """Formats the table of all hazards, and the folded diffs."""
    rows, blocks = [], []
    for module, outcomes in found:
        cells = {outcome.design: describe(outcome) for outcome in outcomes}
        rows.append([f"[{title(module)}]({FOLDER}/{name(module)}.py)", cells[FUNCTIONAL], cells[IMPERATIVE]])
        lines = "\n\n".join(f"# {outcome.design}: {outcome.happens}\n{outcome.lines}" for outcome in outcomes)
        blocks += [f"**{title(module)}**", explanation(module), markdown.code(lines, "diff")]
    return markdown.document(
        "## Mistakes with hidden state",
        LEGEND,
        markdown.table(["mistake", FUNCTIONAL, IMPERATIVE], rows, "lll"),
        markdown.details("Wrong and right lines", markdown.document(*blocks)),
    )


def describe(outcome: Outcome) -> str:
    """Describes what happens and, if it is silent, the effects."""
    text = "; ".join(f"{quantity} {effect}" for quantity, effect in effects(outcome))
    return f"*{outcome.happens}*" + (f": {text}" if outcome.happens == "silent" else "")


def count(found: Found, design: str) -> str:
    """Counts the kinds of outcomes of a design."""
    happens = [outcome.happens for _, outcomes in found for outcome in outcomes if outcome.design == design]
    counts = {label: sum(text.startswith(kind) for text in happens) for kind, label in KINDS.items()}
    return ", ".join(f"{number} {label}" for label, number in counts.items() if number)


def panels(found: Found) -> dict[str, dict[str, figures.Outcome]]:
    """Selects the first quantity of each hazard and design for the figure."""
    return {title(module): {outcome.design: _drawn(outcome) for outcome in outcomes} for module, outcomes in found}


def _drawn(outcome: Outcome) -> figures.Outcome:
    quantity = next(iter(outcome.right))
    return figures.Outcome(quantity, outcome.right[quantity], outcome.wrong.get(quantity, np.empty(0)), outcome.happens)


def name(module: ModuleType) -> str:
    """Returns the name of a hazard's file without its suffix."""
    return module.__name__.rpartition(".")[2]


def title(module: ModuleType) -> str:
    """Returns the text before the first colon of the docstring."""
    return module.__doc__.partition(":")[0]


def explanation(module: ModuleType) -> str:
    """Returns the docstring between its first line and the command."""
    return module.__doc__.partition("\n")[2].partition("\nRun:")[0].strip()
