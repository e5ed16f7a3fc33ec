"""The section on hazards: every file of the folder is run, and its outcomes become a table, a figure and diffs."""

import importlib
import pkgutil
from collections.abc import Sequence
from types import ModuleType

import numpy as np
from studies import figures, markdown
from studies.design import hazards
from studies.design.hazards import FUNCTIONAL, IMPERATIVE, Outcome, effects, observe

FOLDER = "../../studies/design/hazards"  # from the report in the gallery
LEGEND = """Each row is one file, which runs alone and prints both outcomes. The right and the wrong program have equal
weights, images and random numbers. *Silent*: nothing was raised, and the results differ. *No effect*: the results are
the same bit for bit. Numbers are means over the steps, right → wrong, and the mean distance of the two in a step."""
KINDS = {"silent": "silent", "no effect": "without effect", "raises": "with an error"}

Found = Sequence[tuple[ModuleType, Sequence[Outcome]]]


def measure() -> Found:
    """Runs the pairs of every hazard, in alphabetical order."""
    modules = [
        importlib.import_module(f"{hazards.__name__}.{file.name}") for file in pkgutil.iter_modules(hazards.__path__)
    ]
    return [(module, [observe(pair) for pair in module.PAIRS]) for module in modules]


def section(found: Found) -> str:
    """Writes the table of all hazards, and folds the wrong lines of each."""
    rows, blocks = [], []
    for module, outcomes in found:
        cells = {outcome.design: in_words(outcome) for outcome in outcomes}
        rows.append([f"[{title(module)}]({FOLDER}/{name(module)}.py)", cells[FUNCTIONAL], cells[IMPERATIVE]])
        lines = "\n\n".join(f"# {outcome.design}: {outcome.happens}\n{outcome.lines}" for outcome in outcomes)
        blocks += [f"**{title(module)}**", explanation(module), markdown.code(lines, "diff")]
    return markdown.document(
        "## Mistakes with hidden state",
        LEGEND,
        markdown.table(["mistake", FUNCTIONAL, IMPERATIVE], rows, "lll"),
        markdown.details("The wrong lines beside the right ones", markdown.document(*blocks)),
    )


def in_words(outcome: Outcome) -> str:
    """What happens and, where it is silent, the effects."""
    words = "; ".join(f"{quantity} {effect}" for quantity, effect in effects(outcome))
    return f"*{outcome.happens}*" + (f": {words}" if outcome.happens == "silent" else "")


def count(found: Found, design: str) -> str:
    """Counts what happens in a design."""
    happens = [outcome.happens for _, outcomes in found for outcome in outcomes if outcome.design == design]
    counts = {words: sum(one.startswith(kind) for one in happens) for kind, words in KINDS.items()}
    return ", ".join(f"{number} {words}" for words, number in counts.items() if number)


def panels(found: Found) -> dict[str, dict[str, figures.Outcome]]:
    """Chooses what the figure shows: the first quantity of each hazard and design."""
    return {title(module): {outcome.design: _drawn(outcome) for outcome in outcomes} for module, outcomes in found}


def _drawn(outcome: Outcome) -> figures.Outcome:
    quantity = next(iter(outcome.right))
    return figures.Outcome(quantity, outcome.right[quantity], outcome.wrong.get(quantity, np.empty(0)), outcome.happens)


def name(module: ModuleType) -> str:
    """The file's name without its ending."""
    return module.__name__.rpartition(".")[2]


def title(module: ModuleType) -> str:
    """What comes before the first colon of the docstring."""
    return module.__doc__.partition(":")[0]


def explanation(module: ModuleType) -> str:
    """The docstring between its first line and the command."""
    return module.__doc__.partition("\n")[2].partition("\nRun:")[0].strip()
