"""Compiles the recipes for TPU slices, without a TPU, and analyzes the programs.

Run:       python -m pip install -e '.[tpu-aot]'
           python experiments/studies/aot/compile_for.py                            (v5e: one chip, 16 on four hosts)
           python experiments/studies/aot/compile_for.py --target v6e:2x2 tpu7x:2x2x1   (also v5p and v4, as 2x2x1)
           python experiments/studies/aot/compile_for.py --target v5e:8x8 --replicas 64 8 --recipes vanilla_gan dcgan
Time:      10 min on two CPU cores, 21 programs; half of that with --effort -1
Expect:    no deviations in any program
Read:      jaxgan/runtime/program.py, jaxgan/runtime/devices.py
Writes:    runs/compile_for/compile_for.md and compile_for.json (or in --out), updated after each program

The TPU compiler compiles the training function that the training loop gets from `compile_program`: a loop over many
steps with all data. Nothing runs.
"""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("JAX_PLATFORMS", "cpu")  # nothing runs, so do not occupy an existing chip
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # experiments/

import celeba
import chapter
import cifar10
import digit_classifier
import flow_matching
import jax
import r3gan
import vanilla_gan
from studies import machine, markdown
from studies.aot import compilation
from studies.training import check, command

from jaxgan.errors import UserError
from jaxgan.runtime import targets

DEFAULT = tuple(module.__name__ for module in (*chapter.RECIPES, r3gan, flow_matching))
# Not in the defaults: the programs for colour images take minutes to compile, and on one chip the classifier copies all
# data to fast memory in every step.
MODULES = (*chapter.RECIPES, r3gan, flow_matching, cifar10, celeba, digit_classifier)
RECIPES = {module.__name__: module.CONFIG for module in MODULES}
FRONT_ENDS = ("pmap", "shard_map")
COLUMNS = ("recipe", "chips", "front end", "images per device", "MFLOP", "least MB moved", "least µs")
COLUMNS += ("arguments, MB", "temporaries, MB")
COLUMNS += ("state aliased", "exchanges", "MB", "gradients, MB", "products", "deviations")
LEGEND = """\
Compiled by the TPU compiler, not run. Numbers are for one device and one step; arguments and temporaries are for the
whole program. A chip is one device, except TPU7x (Ironwood) with two devices per chip.
The least bytes are the state, read and written, and the batch. The least µs are the roofline: the larger of operations
divided by the chip's peak in bfloat16, and least bytes divided by its memory bandwidth.

Expected properties of each program; violations are listed under deviations:

- The new state is written over the argument of the old state ("state aliased" counts the arrays).
- A step sums each gradient once over the chips that share a batch. Otherwise it only sums batch statistics and
  metrics. Chips with different replicas exchange nothing.
- Every convolution runs on the matrix unit. "Products" counts them; in brackets: matrix-vector products, which become
  sums.
- No step copies the data, and the program fits into memory. Most of its arguments are the 47 MB of MNIST, padded,
  or the images of another data set, or a chunk of a stream."""


@dataclass(frozen=True)
class Options:
    """Compiles the recipes for chips that need not be available, and analyzes the programs."""

    target: tuple[str, ...] = ("v5e:1x1", "v5e:4x4")  # chips in a shape: v4, v5e, v5p, v6e or tpu7x
    recipes: tuple[str, ...] = DEFAULT  # recipes to compile; also cifar10, celeba and digit_classifier
    replicas: tuple[int, ...] = ()  # numbers of replicas to compile instead of single runs
    effort: float = 0.0  # optimization effort of the TPU compiler: 0 as in training, -1 minimum
    out: Path = Path("runs/compile_for")  # folder for the table and the numbers


def study(options: Options) -> Path:
    """Compiles all programs, and updates the report after each."""
    check("--recipes", options.recipes, RECIPES)
    if wrong := [count for count in options.replicas if count < 2]:
        raise UserError(f"--replicas: {wrong[0]} is not allowed, it must be at least 2")
    if not -1 <= options.effort <= 1:
        raise UserError(f"--effort: {options.effort} is not allowed, it must be between -1 and 1")
    parsed = [targets.parse_target(text) for text in options.target]
    made = [(target, targets.devices(target)) for target in parsed]
    options.out.mkdir(parents=True, exist_ok=True)
    jax.config.update("jax_enable_compilation_cache", False)  # programs for a topology cannot be cached
    results: dict[str, Any] = {"machine": machine.describe("jax", "libtpu"), "command": machine.command()}
    results |= {"programs": [], "too_large": {}}
    path = options.out / "compile_for.md"
    for target, devices in made:
        error = compilation.too_large(vanilla_gan.CONFIG, devices[:1], effort=options.effort)
        results["too_large"][target.name] = error
        for name in options.recipes:
            config = compilation.fitted(RECIPES[name], target)
            ways = [(parallel, 1) for parallel in (FRONT_ENDS if target.count > 1 else ("jit",))]
            for parallel, count in [("shard_map", count) for count in options.replicas] or ways:
                print(f"{name} for {target.name}, {parallel}, {count} at once ...", flush=True)
                how = {"parallel": parallel, "effort": options.effort, "replicas": count}
                row = compilation.compile_recipe(config, target, devices, **how)
                results["programs"].append({"recipe": name, **row})
                path.with_suffix(".json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
                path.write_text(report(results), encoding="utf-8")
    return path


def report(results: Mapping[str, Any]) -> str:
    """Formats the content of compile_for.json as a Markdown report."""
    return markdown.document(
        "# Programs compiled for TPUs",
        f"{results['machine']}; `{results['command']}`",
        LEGEND,
        markdown.table(COLUMNS, map(cells, results["programs"]), align="lll" + "r" * (len(COLUMNS) - 4) + "l"),
        "Negative control, a program whose data is larger than memory:",
        markdown.bullets(f"{target}: {message}" for target, message in results["too_large"].items()),
    )


def cells(row: Mapping[str, Any]) -> list[object]:
    """Formats a program as a row of the table."""
    exchanges = ", ".join(f"{count} {kind}" for kind, count in sorted(row["collectives"].items()))
    argument, temporary, sent, gradients = (
        f"{row[f'{name}_bytes'] / 1e6:,.2f}" for name in ("argument", "temporary", "collective", "gradient")
    )
    return [
        row["recipe"],
        row["target"] + (f", {row['hosts']} hosts" if row["hosts"] > 1 else ""),
        row["parallel"],
        row["batch_per_device"],
        f"{row['flops'] / 1e6:,.1f}",
        f"{row['least_bytes'] / 1e6:,.1f}",
        f"{row['least_seconds'] * 1e6:,.1f}",
        argument,
        temporary,
        f"{row['aliased']} of {row['state_arrays']}",
        *([exchanges, sent, gradients] if exchanges else ["none", "", ""]),
        f"{row['products']} ({row['products_taken_apart']})",
        "; ".join(row["deviations"]) or "none",
    ]


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the study as a command."""
    command("compile_for", Options, study, argv)


if __name__ == "__main__":
    main()
