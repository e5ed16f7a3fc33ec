"""What the hazards showed, as Markdown."""

from collections.abc import Mapping
from typing import Any

from comparing.designs import FUNCTIONAL, PYTORCH, Row
from comparing.hazards.pairs import NO_STATE, SILENT

LEGEND = """\
Each row is a program that was run twice, as it should be and with one mistake; everything else, weights, batches and
noise, is the same. *Silent*: nothing was raised and nothing warned, and the results differ. *No such state*: the
mistaken run equals the correct one bit for bit, since the mistake has nothing to reach. Numbers are means over the run,
correct → mistaken, and in parentheses the mean absolute difference; of samples, drawn after training from the same
latents, the mean difference of a pixel in levels of grey (white is 255) and the share of pixels that differ."""

Measured = Mapping[str, Any]


def section(measured: Measured) -> str:
    """Writes what was measured: one table of all hazards, then the lines of each mistake.

    Args:
      measured: what ``measure`` gave.

    Returns:
      Markdown, from its heading on.
    """
    rows, blocks = [], []
    for hazard in measured["hazards"].values():
        blocks += [f"### {hazard['title']}", "", hazard["mistake"], "", "```diff", *_diffs(hazard), "```", ""]
        for design, found in hazard["observed"].items():
            if not found:
                rows.append(f"| {hazard['title']} | {design} | | not measured | |")
            for one in found:
                what = _cell(one["happens"])
                rows.append(f"| {hazard['title']} | {design} | {one['program']} | {what} | {_effects(one)} |")
    table = ["| hazard | design | program | what happens | measured effect |", "|---|---|---|---|---|", *rows]
    about = f"{measured['setting'][0].upper()}{measured['setting'][1:]}."
    return "\n".join(["## Hazards of hidden state", "", LEGEND, "", about, "", *table, "", *blocks])


def summary(measured: Measured) -> list[Row]:
    """Counts, by design, the hazards whose mistake can pass silently.

    Args:
      measured: what ``measure`` gave.

    Returns:
      Rows of the comparison's first table.
    """
    hazards = measured["hazards"].values()

    def count(design: str, happens: str) -> str:
        if not any(hazard["observed"].get(design) for hazard in hazards):
            return "not measured"
        pairs = [[one["happens"] for one in hazard["observed"][design]] for hazard in hazards]
        return f"{sum(any(word.startswith(happens) for word in words) for words in pairs)} of {len(pairs)}"

    questions = {
        "hazards of hidden state with a mistake that passes silently": SILENT,
        "hazards with a mistake that has no state to reach": NO_STATE,
        "hazards with a mistake that raises an error": "raises",
    }
    return [Row(text, count(FUNCTIONAL, word), count(PYTORCH, word)) for text, word in questions.items()]


def _diffs(hazard: Measured) -> list[str]:
    lines = []
    for design, found in hazard["observed"].items():
        for one in found:
            block = one["mistake"].splitlines()
            if block != lines[-len(block) :]:  # a pair that only differs in what watches it has the same lines
                lines += ["" for _ in lines[:1]] + [f"# {design}: {one['program']}", *block]
    return lines


def _effects(one: Measured) -> str:
    return "; ".join(f"{name} {_effect(values)}" for name, values in one["effects"].items()) or "stops there"


def _effect(values: Mapping[str, float]) -> str:
    if "pixels" in values:
        return (
            f"{values['grey_levels']:.3g} levels, {values['pixels']:.0%} of pixels" if any(values.values()) else "same"
        )
    if values["difference"] == 0:
        return f"{values['correct']:.4g}, same"
    return f"{values['correct']:.4g} → {values['mistaken']:.4g} ({values['difference']:.2g})"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
