"""The functional and the imperative design of the same four programs, measured side by side: one report.

Run:       python experiments/functional_vs_imperative.py          (needs PyTorch: pip install -e '.[imperative]')
           python experiments/functional_vs_imperative.py --methods vae --parts trajectories speed
Time:      28 min on two CPU cores: 8 for the speeds, on an idle machine, and 20 for all else, beside other work
Expect:    losses of 100 steps equal to 1e-11 in double precision; 1.3 to 3.2 times the steps a second of eager PyTorch
           on one thread, for four times its lines and twice its memory; every killed run ends with the same bytes
Writes:    runs/functional_vs_imperative/ with report.md, numbers.json, trajectories.png and speed.png

Each part can be measured again on its own; the report then keeps the other parts' numbers, and says of each when and
how it was measured.
"""

import contextlib
import datetime
import importlib
import importlib.metadata
import importlib.util
import math
import os
import platform
import shlex
import sys
from collections.abc import Sequence
from typing import Any

import tyro
from benchmarking.processors import cpu_model, cpus
from comparing.options import METHODS, PARTS, Options

from jaxgan import data
from jaxgan.errors import UserError, one_line_errors, parse, unknown_choice


def check(options: Options) -> None:
    """Raises UserError for the first field that is out of bounds."""
    for flag, names, known in (("--methods", options.methods, METHODS), ("--parts", options.parts, PARTS)):
        for name in names:
            if name not in known:
                raise unknown_choice(flag, name, known)
        if not names:
            raise UserError(f"{flag}: none given, choose from {', '.join(known)}")
    for flag, value, least, most in (
        ("threads", options.threads, 1, len(cpus())),
        ("steps", options.steps, 1, 400),  # within an epoch of every method
        ("repeats", options.repeats, 1, math.inf),
        ("starts", options.starts, 0, math.inf),
    ):
        if not least <= value <= most:
            raise UserError(f"--{flag}: {value} is not allowed, it must be between {least} and {most}")
    if not 0 < options.seconds < math.inf:
        raise UserError(f"--seconds: {options.seconds} is not allowed, it must be positive")
    if importlib.util.find_spec("torch") is None:
        raise UserError("PyTorch is not installed; run python -m pip install -e '.[imperative]'")
    try:
        options.out.mkdir(parents=True, exist_ok=True)
        if not os.access(options.out, os.W_OK):
            raise PermissionError(13, "Permission denied")
    except OSError as error:
        raise UserError(f"--out: {str(options.out)!r} cannot be written ({error.strerror})") from error


def machine(options: Options) -> dict[str, str]:
    """Describes what a part's numbers hold for: machine, date, versions and the exact command."""
    versions = [f"Python {platform.python_version()}"]
    for name in ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "torch"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions.append(f"{name} {importlib.metadata.version(name)}")
    return {
        "command": shlex.join(["python", *sys.argv]),
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "machine": f"{cpu_model()}, {len(cpus())} CPUs, {platform.system()}",
        "versions": ", ".join(versions),
        "threads": f"{options.threads} for every program",
    }


def run(options: Options) -> dict[str, Any]:
    """Measures the parts that are asked for.

    Args:
      options: validated.

    Returns:
      ``parts`` (what each part measured) and ``about`` (what its numbers hold for), those of earlier runs included.
    """
    from comparing import report

    data.load("mnist", data_dir=options.data_dir)  # prepared before any clock starts
    results = report.read(options.out)
    for name in options.parts:
        print(f"{name} ...", flush=True)
        results["parts"][name] = importlib.import_module(f"comparing.{name}").measure(options)
        results["about"][name] = machine(options)
        report.keep(results, out=options.out)
    return results


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the comparison as a command."""
    with one_line_errors("functional_vs_imperative"):
        options = parse(lambda: tyro.cli(Options, args=argv, prog="functional_vs_imperative"))
        check(options)
        results = run(options)
        from comparing import report

        parts = {name: importlib.import_module(f"comparing.{name}") for name in PARTS if name in results["parts"]}
        files = report.write(results, parts, out=options.out)
    print(files[0].read_text(), *files, sep="\n")


if __name__ == "__main__":
    main()
