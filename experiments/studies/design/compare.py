"""The functional and the imperative design of the same four programs, compared: one report.

Run:       python experiments/studies/design/compare.py        (needs PyTorch: pip install -e '.[imperative]')
           python experiments/studies/design/compare.py --parts hazards
Time:      about 10 min on one CPU core, most of it to compile in double precision; half a minute for the hazards
Expect:    losses of 100 steps equal to 1e-11 in double precision; every resumed run ends with the same bytes; eight
           mistakes with hidden state, most of them silent
Writes:    runs/design/ (or --out) with report.md, trajectories.png and hazards.png
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # experiments/

from imperative import requirements  # noqa: F401, says what to install where PyTorch is missing
from studies import figures, machine, markdown
from studies.design import mistakes, resuming, trajectories
from studies.design.hazards import FUNCTIONAL, IMPERATIVE
from studies.speed.programs import RECIPES
from studies.training import check, command

from jaxgan.figures import save

GALLERY = Path(__file__).resolve().parents[2] / "gallery" / "design"  # the folder that links start from
PARTS = ("trajectories", "resuming", "hazards")

DEVICES = """On 2026-11-23 we made the twins train on two devices, by the patches in
[experiments/imperative/distributed](../../imperative/distributed): 37 lines of code added and 12 removed, and 3 and 1
more for batch normalization. The recipes needed a flag, `--devices 2`, since the package has the collectives and the
sharding once for all methods: 128 of its lines named devices or their axis then. Twenty steps on two devices against
the same on one, in float64 with equal noise: losses within 1e-14 for every recipe, and within 1e-15 for the twins of
the vanilla GAN and the VAE. The twins of the DCGAN and the WGAN-GP were 1e-2 apart, since PyTorch's SyncBatchNorm
refuses to run on CPU and each process then normalizes by the statistics of its part (jax 0.10.2, torch 2.13.0)."""


@dataclass(frozen=True)
class Options:
    """Compares the functional and the imperative design of the same programs, and writes one report."""

    methods: tuple[str, ...] = tuple(RECIPES)  # which methods to compare
    parts: tuple[str, ...] = PARTS  # which parts of the report to measure
    steps: int = 100  # steps of a trajectory
    data_dir: Path | None = None  # folder of prepared TFDS data sets; None: TFDS_DATA_DIR or ~/tensorflow_datasets
    out: Path = Path("runs/design")  # folder for the report and the figures


def study(options: Options) -> Path:
    """Measures, and writes the report and its figures."""
    check("--methods", options.methods, RECIPES)
    check("--parts", options.parts, dict.fromkeys(PARTS), steps=options.steps)
    configs = {method: RECIPES[method] for method in options.methods}
    options.out.mkdir(parents=True, exist_ok=True)
    found: dict[str, Any] = {}
    if "trajectories" in options.parts:
        print("trajectories ...", flush=True)
        found["trajectories"] = trajectories.measure(configs, steps=options.steps, data_dir=options.data_dir)
        titles = {method: config.method.title for method, config in configs.items()}
        panels = trajectories.pairs(found["trajectories"], titles)
        names = FUNCTIONAL, IMPERATIVE
        picture = figures.trajectories(panels, names=names, title="The same training in both designs")
        save(picture, options.out / "trajectories.png")
    if "resuming" in options.parts:
        print("resuming ...", flush=True)
        found["resuming"] = resuming.measure(configs, data_dir=options.data_dir)
    if "hazards" in options.parts:
        print("hazards ...", flush=True)
        found["hazards"] = mistakes.measure()
        panels = mistakes.panels(found["hazards"])
        picture = figures.outcomes(panels, columns=4, title="Eight mistakes with hidden state")
        save(picture, options.out / "hazards.png")
    path = options.out / "report.md"
    path.write_text(markdown.relink(report(found), home=GALLERY, folder=options.out))
    return path


def report(found: Mapping[str, Any]) -> str:
    """Writes the report in Markdown: a table and two figures, then a section per part with its details folded."""
    sections = {"trajectories": _trajectories, "resuming": _resuming, "hazards": mistakes.section}
    pictures = {"trajectories": "Losses of both designs, and their difference", "hazards": "Eight mistakes, by design"}
    return markdown.document(
        "# Functional and imperative design of the same programs",
        markdown.table(["", *resuming.DESIGNS], _summary(found), "llll"),
        *(f"![{text}]({name}.png)" for name, text in pictures.items() if name in found),
        *(sections[name](found[name]) for name in found),
        markdown.document("## From one device to two", DEVICES),
        f"Measured by `{machine.command()}` on one thread: {machine.describe()}",
    )


def _summary(found: Mapping[str, Any]) -> list[list[str | None]]:
    rows: list[list[str | None]] = []
    if part := found.get("trajectories"):
        steps = len(next(iter(part.values()))["float32"]["apart"])
        for precision in trajectories.PRECISIONS:
            apart = f"at most {trajectories.largest(part, precision):.0e} apart"
            rows.append([f"losses of {steps} steps, {precision}", apart, apart, None])
    if part := found.get("resuming"):
        designs = {name: [one[name] for one in part.values() if name in one] for name in resuming.DESIGNS}
        saved = {name: {item for one in all_of for item in one["bytes"]} for name, all_of in designs.items()}
        beside = [item for item in resuming.ITEMS if item not in (resuming.PARAMETERS, resuming.STATISTICS)]
        rows.append(
            ["saved beside weights and statistics"]
            + [", ".join(item for item in beside if item in items) for items in saved.values()]
        )
        rows.append(
            ["resumed: the same bytes as without a stop"]
            + [f"{sum(not one['resumed'] for one in all_of)} of {len(all_of)} methods" for all_of in designs.values()]
        )
    if part := found.get("hazards"):
        counts = [mistakes.count(part, design) for design in (FUNCTIONAL, IMPERATIVE)]
        rows.append([f"{len(part)} mistakes with hidden state", *counts, None])
    rows.append(["lines to change for two devices (2026-11-23)", "a flag", "49 to 53", None])
    rows.append(["steps per second, start, memory", "by `experiments/studies/speed/benchmark.py`", None, None])
    return rows


def _trajectories(found: Mapping[str, Any]) -> str:
    return markdown.document(
        "## The same training",
        "Both designs begin with the same weights, see the same MNIST batches, and get the same latents, dropout masks "
        "and interpolations. In single precision rounding grows; the same programs in double precision stay together.",
        markdown.details(
            "Largest relative difference of any loss so far, and of any array of weights or statistics at the end",
            trajectories.table(found),
        ),
    )


def _resuming(found: Mapping[str, Any]) -> str:
    return markdown.document(
        "## Resuming",
        f"Every program stops after {resuming.STOP} steps, in the middle of its second epoch. A fresh one goes on from "
        "what was saved. The functional run saves neither random state nor order: every random number is a function of "
        "seed, step and example, and the order one of seed and epoch. In PyTorch each item has its own line of code "
        "that one can forget. The other two save one value.",
        markdown.details("What a checkpoint holds, and what happens without it", resuming.tables(found)),
    )


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the comparison as a command."""
    command("compare", Options, study, argv)


if __name__ == "__main__":
    main()
