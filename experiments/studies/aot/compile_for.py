"""Compiles the recipes for TPU slices and GPUs that are not there, and reads the programs.

Run:       python -m pip install -e '.[tpu-aot]'
           python experiments/studies/aot/compile_for.py                           (v5e: one chip, 16 on four hosts, 64)
           python experiments/studies/aot/compile_for.py --target v6e:2x2 h100:8   (also v4, v5p, with three dimensions)
           python experiments/studies/aot/compile_for.py --target v5e:4x4x2slices  (two slices, joined by a network)
Time:      about 18 min on two CPU cores, 30 programs; --effort -1 makes 4 s of 13 for one
Expect:    no deviations in any program
Read:      jaxgan/runtime/program.py, jaxgan/runtime/devices.py
Method:    the chip's own compiler compiles the function that trains, as the training loop gets it from
           `compile_program`: many steps in one loop, over all of MNIST. Nothing runs. In each program the state should
           be written over the argument it came in. A step should sum each gradient over the chips once, and beside
           gradients only batch statistics and metrics, and exchange nothing else. Every convolution should be on the
           matrix unit, no step should copy the data, and all should fit into memory. The report lists deviations. As a
           negative control, a program larger than memory is compiled as well
Writes:    runs/compile_for/compile_for.md and compile_for.json (or in --out)

An H100 takes jax-cuda12-plugin and jax-cuda12-pjrt of JAX's own version. They are installed without their
dependencies, which are only needed to run.
"""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("JAX_PLATFORMS", "cpu")  # nothing runs here, and a chip that is there is left alone
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # experiments/

import autoencoder
import dcgan
import digit_classifier
import flow_matching
import jax
import r3gan
import tyro
import vae
import vanilla_gan
import wgan
from studies import machine, markdown
from studies.aot import compilation, targets

from jaxgan.errors import UserError, one_line_errors, parse, unknown_choice

MODULES = (autoencoder, vae, vanilla_gan, dcgan, wgan, r3gan, flow_matching, digit_classifier)
RECIPES = {module.__name__: module.CONFIG for module in MODULES}
# Left out by default: on one chip the classifier's program copies all of the data into fast memory in every step.
ON_SLICES = tuple(name for name in RECIPES if name != "digit_classifier")
FRONT_ENDS = ("pmap", "shard_map")
CLAIMS = {
    "tpu": "Compiled by the TPU compiler, not run.",
    "cuda": "Compiled by XLA's CUDA compiler, not run. Weaker than for TPU: kernels are not tuned, which takes the "
    "chip. XLA neither counts the operations of the compiled program nor says what runs on tensor cores. The memory's "
    "time assumes that the cache keeps nothing from one kernel to the next, so it is no lower bound.",
}
COLUMNS = ("recipe", "chips", "front end", "images per chip", "MFLOP", "arguments", "temporaries", "state aliased")
COLUMNS += ("sums over chips", "of them gradients", "products", "roofline", "kilocycles", "deviations")
LEGEND = """\
All numbers are for one chip, and for one step unless of the whole program.

- MFLOP: as XLA counts the program, with the generator's update where only one step in so many has it.
- Arguments, temporaries: in HBM, with the padding of layouts; most of both are the 47 MB of MNIST.
- State aliased: arrays of the state that the program writes over its own argument.
- Sums over chips: all-reduce instructions and their bytes. Besides gradients these are batch statistics and metrics.
  Between slices a chip sends its part of a sum, which the slice's chips then gather, with padding.
- Products: convolutions and matrix products on the matrix unit; in brackets those with a vector, which become sums.
- Roofline: the time that the chip's published peaks leave a step, and the peak that sets it: operations, memory
  traffic, links between chips, or the network between slices.
- Kilocycles: the compiler's estimate for its kernels, one after the other, without exchanges. Networks this small leave
  a chip mostly waiting."""


@dataclass(frozen=True)
class Options:
    """Compiles the recipes for chips that are not there, and reads the programs."""

    target: tuple[str, ...] = ("v5e:1x1", "v5e:4x4", "v5e:8x8")  # chips in a shape: v4, v5e, v5p, v6e or h100
    recipes: tuple[str, ...] = ON_SLICES  # which to compile; digit_classifier, too
    parallel: tuple[str, ...] = FRONT_ENDS  # front ends for several chips
    batch_size: int | None = None  # images in a step, over all chips; None: each recipe's own, or one per chip
    effort: float = 0.0  # of the TPU compiler for fast programs: 0 as in training, -1 its least
    out: Path = Path("runs/compile_for")  # folder for the table and the numbers


def check(options: Options) -> list[tuple[targets.Target, Sequence[jax.Device]]]:
    """Finds the targets and their devices, and raises UserError for the first field that is out of bounds."""
    for flag, given, allowed in (("recipes", options.recipes, RECIPES), ("parallel", options.parallel, FRONT_ENDS)):
        for name in given:
            if name not in allowed:
                raise unknown_choice(f"--{flag}", name, allowed)
    if not -1 <= options.effort <= 1:
        raise UserError(f"--effort: {options.effort} is not allowed, it must be between -1 and 1")
    found = [targets.parse_target(text) for text in options.target]
    for target in found:
        for name in options.recipes:
            compilation.fitted(RECIPES[name], target, batch_size=options.batch_size)
    return [(target, targets.devices(target)) for target in found]


def study(options: Options) -> Path:
    """Compiles everything, and writes the report anew after each target."""
    made = check(options)
    options.out.mkdir(parents=True, exist_ok=True)
    jax.config.update("jax_enable_compilation_cache", False)  # what is compiled for a topology cannot be stored
    about = {"command": machine.command(), "versions": machine.describe("jax", "libtpu", "jax-cuda12-pjrt")}
    results, path = {"about": about, "programs": [], "too_large": {}}, options.out / "compile_for.md"
    for target, devices in made:
        for name in options.recipes:
            config = compilation.fitted(RECIPES[name], target, batch_size=options.batch_size)
            for parallel in options.parallel if target.count > 1 else options.parallel[:1]:
                print(f"{name} for {target.name}, {parallel} ...", flush=True)
                how = {"recipe": name, "parallel": parallel, "effort": options.effort}
                results["programs"].append(compilation.compile_recipe(config, target, devices, **how))
        complaint = compilation.too_large(vanilla_gan.CONFIG, target, devices[:1], effort=options.effort)
        results["too_large"][target.name] = complaint
        path.with_suffix(".json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
        path.write_text(report(results), encoding="utf-8")
    return path


def report(results: Mapping[str, Any]) -> str:
    """Writes the report in Markdown.

    Args:
      results: ``about`` (texts), ``programs`` (one row each) and ``too_large`` (by target, the compiler's complaint
        about the program that no chip can hold).

    Returns:
      Markdown.
    """
    parts = ["# Programs for chips that are not here"]
    parts.append(markdown.bullets(f"{name}: {text}" for name, text in results["about"].items()))
    for platform, claim in CLAIMS.items():
        if rows := [row for row in results["programs"] if row["platform"] == platform]:
            parts += [f"## {rows[0]['chip'].split()[0]}", claim]
            parts.append(markdown.table(COLUMNS, map(cells, rows), align="lll" + "r" * (len(COLUMNS) - 4) + "l"))
    parts += [markdown.details("The columns", LEGEND), "## A program larger than memory"]
    said = results["too_large"].items()
    parts.append(markdown.bullets(f"{target}: {words or 'no complaint'}" for target, words in said))
    return markdown.document(*parts)


def cells(row: Mapping[str, Any]) -> list[str]:
    """Writes a program as a row of the table."""
    exchanges = ", ".join(f"{count} {kind}" for kind, count in sorted(row["collectives"].items()))
    crossings = f"; {row['crossings']} over slices, {megabytes(row['crossing_bytes'])}" if row["slices"] > 1 else ""
    times = row["roofline"]
    hosts = f", {row['hosts']} hosts" if row["hosts"] > 1 else ""
    apart = f" ({row['products_taken_apart']})" if row["products_taken_apart"] else ""
    return [
        row["recipe"],
        row["target"] + hosts,
        row["parallel"],
        str(row["batch_per_chip"]),
        f"{row['flops'] / 1e6:,.1f}",
        megabytes(row["argument_bytes"]),
        megabytes(row["temporary_bytes"]),
        f"{row['aliased']} of {row['state_arrays']}, {megabytes(row['aliased_bytes'])}",
        f"{exchanges}, {megabytes(row['collective_bytes'])}{crossings}" if exchanges else "none",
        megabytes(row["gradient_bytes"]) if exchanges else "",
        "unknown" if row["products"] is None else f"{row['products']}{apart}",
        f"{float(format(times['seconds'] * 1e6, '.2g')):g} µs, {times['bound']}",
        f"{row['cycles'] / 1e3:,.0f}" if row["cycles"] else "unknown",
        "; ".join(row["deviations"]) or "none",
    ]


def megabytes(count: float) -> str:
    """Writes a number of bytes."""
    return f"{count / 1e6:,.2f} MB"


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the study as a command."""
    with one_line_errors("compile_for"):
        path = study(parse(lambda: tyro.cli(Options, args=argv, prog="compile_for")))
    print(path.read_text(encoding="utf-8"), path, sep="\n")


if __name__ == "__main__":
    main()
