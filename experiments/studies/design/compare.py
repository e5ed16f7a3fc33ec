"""Compares the functional and the imperative design of the same four programs in one report.

Run:       python experiments/studies/design/compare.py        (needs PyTorch: pip install -e '.[imperative]')
           python experiments/studies/design/compare.py --parts hazards
Time:      about 10 min on one CPU core, mostly compilation in double precision; half a minute for the hazards
Expect:    losses of 100 steps that agree to 1e-11 in double precision; resumed runs that end with the same bytes;
           eight mistakes with hidden state, most of them silent
Writes:    runs/design/ (or --out) with report.md, trajectories.png and hazards.png
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # experiments/

from imperative import requirements  # noqa: F401, exits with an install command if PyTorch is missing
from studies import figures, machine, markdown
from studies.design import mistakes, resuming, trajectories
from studies.design.hazards import FUNCTIONAL, IMPERATIVE
from studies.speed.programs import RECIPES
from studies.training import check, command

from jaxgan.figures import save

GALLERY = Path(__file__).resolve().parents[2] / "gallery" / "design"  # the folder that links start from
PARTS = ("trajectories", "resuming", "hazards")

DEVICES = """\
On 2026-11-23 the twins were changed to train on two devices, by the patches in
[experiments/imperative/distributed](../../imperative/distributed): 37 lines of code added and 12 removed, and 3 and 1
more for batch normalization. The recipes only needed the flag `--devices 2`, since the package implements collectives
and sharding once for all methods: 128 of its lines named devices or their axis. Over twenty steps in float64 with equal
noise, losses on two devices and on one device agree within 1e-14 for all recipes, and within 1e-15 for the twins of
the vanilla GAN and the VAE. The twins of the DCGAN and the WGAN-GP differ by 1e-2, since PyTorch's SyncBatchNorm does
not run on CPU and each process normalizes with the statistics of its own batch (jax 0.10.2, torch 2.13.0)."""


@dataclass(frozen=True)
class Options:
    """Compares the functional and the imperative design of the same programs, and writes one report."""

    methods: tuple[str, ...] = tuple(RECIPES)  # methods to compare
    parts: tuple[str, ...] = PARTS  # parts of the report to measure
    steps: int = 100  # length of a trajectory
    data_dir: Path | None = None  # folder of prepared TFDS data sets; None: TFDS_DATA_DIR or ~/tensorflow_datasets
    out: Path = Path("runs/design")  # folder for the report and the figures


def study(options: Options) -> Path:
    """Runs the measurements, and writes the report and its figures."""
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
    """Formats the report as Markdown: a table, two figures, and a section per part with folded details."""
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
        designs = {name: [method[name] for method in part.values() if name in method] for name in resuming.DESIGNS}
        saved = {name: {item for run in runs for item in run["bytes"]} for name, runs in designs.items()}
        others = [item for item in resuming.ITEMS if item not in (resuming.PARAMETERS, resuming.STATISTICS)]
        rows.append(
            ["saved beside weights and statistics"]
            + [", ".join(item for item in others if item in items) for items in saved.values()]
        )
        rows.append(
            ["resumed: the same bytes as without a stop"]
            + [f"{sum(not run['resumed'] for run in runs)} of {len(runs)} methods" for runs in designs.values()]
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
        "Both designs start from the same weights and use the same MNIST batches, latents, dropout masks and "
        "interpolations. In single precision rounding errors grow; in double precision the same programs agree.",
        markdown.details(
            "Largest relative difference of any loss so far, and of any array of weights or statistics at the end",
            trajectories.table(found),
        ),
    )


def _resuming(found: Mapping[str, Any]) -> str:
    return markdown.document(
        "## Resuming",
        f"Every program stops after {resuming.STOP} steps, in the middle of its second epoch. A new program resumes "
        "from the checkpoint. The functional run saves neither random state nor data order: every random number is a "
        "function of seed, step and example, and the order is a function of seed and epoch. In PyTorch, each item "
        "needs its own line of code, which can be forgotten. The other two designs save a single value.",
        markdown.details("Contents of a checkpoint, and the effect of missing items", resuming.tables(found)),
    )


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the comparison as a command."""
    command("compare", Options, study, argv)


if __name__ == "__main__":
    main()
