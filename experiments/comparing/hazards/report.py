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
latents, the mean difference of a pixel in levels of grey (white is 255) and the share of pixels that differ. Each
design's first row is the mistake itself, or as near to it as the design lets one come; further rows are its own ways
into the same trap, and what a check of the library says."""

# What a pair shows by how the word for it begins, as the summary puts it.
COUNTED = {SILENT: "silent", NO_STATE: "without effect", "warns": "with a warning", "raises": "with an error"}

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
    """Counts, by design, what comes of the mistakes.

    Args:
      measured: what ``measure`` gave.

    Returns:
      Rows of the comparison's first table: of the mistakes themselves, and of each design's further programs.
    """
    hazards = measured["hazards"].values()

    def counts(design: str, chosen: slice) -> str:
        words = [one["happens"] for hazard in hazards for one in hazard["observed"][design][chosen]]
        found = {text: sum(word.startswith(start) for word in words) for start, text in COUNTED.items()}
        if not words:
            return "not measured"
        return ", ".join(f"{count} {text}" for text, count in found.items() if count) + f", of {len(words)}"

    questions = {
        "hazards of hidden state: the mistake itself": slice(1),
        "hazards of hidden state: each design's own ways into the same traps, and checks": slice(1, None),
    }
    return [Row(text, counts(FUNCTIONAL, part), counts(PYTORCH, part)) for text, part in questions.items()]


def _diffs(hazard: Measured) -> list[str]:
    lines = []
    for design, found in hazard["observed"].items():
        for one in found:
            block = one["mistake"].splitlines()
            if block != lines[-len(block) :]:  # a pair that only differs in what watches it has the same lines
                lines += ["" for _ in lines[:1]] + [f"# {design}: {one['program']}", *block]
    return lines


def _effects(one: Measured) -> str:
    if not one["effects"]:
        return "stops there"
    moved = {name: _effect(values) for name, values in one["effects"].items() if _differs(values)}
    same = [name for name in one["effects"] if name not in moved]
    parts = [f"{name} {text}" for name, text in moved.items()]
    return "; ".join(parts + [f"the same {', '.join(same)}"] * bool(same))


def _differs(values: Mapping[str, float]) -> bool:
    return any(values.get(name, 0) != 0 for name in ("difference", "grey_levels"))


def _effect(values: Mapping[str, float]) -> str:
    if "pixels" in values:
        return f"{values['grey_levels']:.3g} levels, {values['pixels']:.0%} of pixels"
    return f"{values['correct']:.4g} → {values['mistaken']:.4g} ({values['difference']:.2g})"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
