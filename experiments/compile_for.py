"""Compiles the recipes for TPU slices and GPUs that are not there, and says what is true of the programs.

Run:       python -m pip install -e '.[tpu-aot]'
           python experiments/compile_for.py                            (v5e: one chip, 16 on four hosts, 64)
           python experiments/compile_for.py --target v6e:2x2 h100:8    (also v4 and v5p, with three dimensions)
           python experiments/compile_for.py --target v5e:4x4x2slices   (two slices, joined by a network)
Time:      18 min on two CPU cores that had other work as well, 30 programs; --effort -1 makes 4 s of 13 for one
Expect:    every property holds in every program; DCGAN on one v5e: 3,697 MFLOP a step, 19 µs by the chip's peaks; 31
           all-reduces a step of 1.70 MB on 16 chips, of which 1.69 MB are gradients
Proved:    compiled by the chip's own compiler, not run. In each program the state is written over the argument it came
           in; a step sums each gradient over the chips once, and beside gradients only statistics of batches and
           metrics; nothing else is exchanged; every convolution is on the matrix unit; no step copies the data; all of
           it fits into memory. A program that does not fit is rejected
Writes:    runs/compile_for/compile_for.md and compile_for.json
Ends:      with exit code 1 if one of these does not hold

What is compiled is the function that trains, as the training loop gets it from `compile_program`: many steps in one
loop, over all of MNIST. An H100 takes jax-cuda12-plugin and jax-cuda12-pjrt of JAX's own version, installed without
their dependencies, which are only needed to run.
"""

import datetime
import os
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("JAX_PLATFORMS", "cpu")  # nothing runs here, and a chip that is there is left alone

import autoencoder
import dcgan
import digit_classifier
import jax
import r3gan
import tyro
import vae
import vanilla_gan
import wgan
from aot import proof, report, targets

from jaxgan.errors import UserError, one_line_errors, parse, unknown_choice

MODULES = (autoencoder, vae, vanilla_gan, dcgan, wgan, r3gan, digit_classifier)
RECIPES = {module.__name__: module.CONFIG for module in MODULES}
# The classifier's program fails on one chip: there the compiler brings all of the data into fast memory in every step.
ON_SLICES = tuple(name for name in RECIPES if name != "digit_classifier")
FRONT_ENDS = ("pmap", "shard_map")


@dataclass(frozen=True)
class Options:
    """Compiles the recipes for chips that are not there, and says what is true of the programs."""

    target: tuple[str, ...] = ("v5e:1x1", "v5e:4x4", "v5e:8x8")  # chips in a shape: v4, v5e, v5p, v6e or h100
    recipes: tuple[str, ...] = ON_SLICES  # which to compile; there is digit_classifier, too
    parallel: tuple[str, ...] = FRONT_ENDS  # front ends for several chips
    batch_size: int | None = None  # images in a step, over all chips; None: each recipe's own, or an image a chip
    effort: float = 0.0  # what the TPU compiler puts into fast programs: 0 as when training, -1 as little as it can
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
        targets.require_compiler(target.chip.platform)
        for name in options.recipes:
            proof.fitted(RECIPES[name], target, batch_size=options.batch_size)
    devices = [targets.devices(target) for target in found]
    options.out.mkdir(parents=True, exist_ok=True)
    return list(zip(found, devices, strict=True))


def run(options: Options) -> proof.Results:
    """Compiles everything, and writes down what was found after each target.

    Args:
      options: validated by :func:`check`.

    Returns:
      What :func:`report.write` takes.
    """
    jax.config.update("jax_enable_compilation_cache", False)  # what is compiled for a topology cannot be stored
    results = {"about": about(), "programs": [], "too_large": {}}
    for target, devices in check(options):
        for name in options.recipes:
            config = proof.fitted(RECIPES[name], target, batch_size=options.batch_size)
            for parallel in options.parallel if target.count > 1 else options.parallel[:1]:
                print(f"{name} for {target.name}, {parallel} ...", flush=True)
                row = proof.prove(config, target, devices, recipe=name, parallel=parallel, effort=options.effort)
                results["programs"].append(row)
        complaint = proof.too_large(vanilla_gan.CONFIG, target, devices[:1], effort=options.effort)
        results["too_large"][target.name] = complaint
        report.write(results, out=options.out)
    return results


def about() -> dict[str, str]:
    """Says what the results hold for."""
    return {
        "command": shlex.join(["python", *sys.argv]),
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "versions": ", ".join(targets.versions()),
    }


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the proof as a command."""
    with one_line_errors("compile_for"):
        options = parse(lambda: tyro.cli(Options, args=argv, prog="compile_for"))
        results = run(options)
        files = report.write(results, out=options.out)
    print(files[0].read_text(encoding="utf-8"), *files, sep="\n")
    if any(row["failures"] for row in results["programs"]) or None in results["too_large"].values():
        raise SystemExit(1)


if __name__ == "__main__":
    main()
