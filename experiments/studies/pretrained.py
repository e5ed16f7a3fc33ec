"""Trains the generators that come with the package, and writes their weights and the manifest.

Run:       python experiments/studies/pretrained.py            (--help lists every flag)
           python experiments/studies/pretrained.py --out jaxgan/runs/weights        (replaces the package's weights)
Time:      an hour on two CPU cores; finished runs are reused
Expect:    a file of 0.5 to 1.3 MB per generator, and manifest.json with SHA-256, command, and sample quality
Writes:    runs/pretrained/RECIPE/, a working directory per recipe; RECIPE.safetensors and manifest.json in
           runs/pretrained/ (or in --out)
Read:      jaxgan/runs/pretrained.py

Sampling needs no discriminator, so the files contain none. Half precision halves their size.
"""

import dataclasses
import hashlib
import importlib
import json
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # experiments/

from studies import machine, training

from jaxgan.config import Config
from jaxgan.evaluation.protocol import COUNT
from jaxgan.runs import load, pretrained
from jaxgan.runs.evaluate import evaluate_run
from jaxgan.runs.flags import read_flags
from jaxgan.runs.workdir import write_atomically

RECIPES = {  # with their training flags
    "r3gan": "--evaluate-every 6",  # as in the quality report
    "dcgan": "",
    "vae": "",
    "flow_matching": "--conditional --guidance 2 --epochs 4 --decay-steps 7500",
}
QUALITY = ("frechet_distance", "precision", "recall", "coverage", "requested_class_accuracy", "class_frechet_distance")


@dataclass(frozen=True)
class Options:
    """Trains the generators of the package, and writes their weights."""

    recipes: tuple[str, ...] = field(default=tuple(RECIPES))  # recipes to train; other entries of the manifest are kept
    samples: int = COUNT  # images drawn from each run to measure quality
    runs: Path = Path("runs/pretrained")  # folder with one working directory per recipe
    out: Path = Path("runs/pretrained")  # folder for the weights
    data_dir: Path | None = None  # folder of prepared TFDS data sets; None: TFDS_DATA_DIR or ~/tensorflow_datasets


def config(recipe: str, options: Options) -> Config:
    """Makes the config of a recipe, with its flags and working directory."""
    found = read_flags(importlib.import_module(recipe).CONFIG, shlex.split(RECIPES[recipe]))
    run = dataclasses.replace(found.run, workdir=options.runs / recipe, data_dir=options.data_dir)
    return Config(found.method, run)


def study(options: Options) -> Path:
    """Trains and evaluates the recipes, and writes their weights, one after another."""
    training.check("--recipes", options.recipes, RECIPES, options.samples)
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / "manifest.json"
    entries = json.loads(path.read_text()) if path.exists() else {}
    for recipe in options.recipes:
        trained = config(recipe, options)
        training.train(trained)
        run = load.load_run(trained.run.workdir)
        found = evaluate_run(trained.run.workdir, count=options.samples, data_dir=options.data_dir, replica=0)
        kept = dataclasses.replace(trained.run, workdir=Path("runs") / recipe, data_dir=None, replicas=1)
        content = pretrained.encode(
            Config(trained.method, kept), run.state, step=run.step, leave_out=run.method.auxiliary
        )
        write_atomically(options.out / f"{recipe}.safetensors", content)
        entries[recipe] = {
            "sha256": hashlib.sha256(content).hexdigest(),
            "command": f"python experiments/{recipe}.py {RECIPES[recipe]}".strip(),
            "epochs": found.subject["epoch"],
            "seconds": round(training.training_seconds(trained.run.workdir) / trained.run.replicas),
            "quality": {name: round(found.metrics[name].mean, 4) for name in QUALITY if name in found.metrics},
            "evaluated": f"{options.samples} samples{', labels of the floor' * found.protocol.floor_labels}, "
            f"{found.protocol.features}, before the weights were rounded",
            "measured": machine.describe("jax", "flax", "jaxgan"),
        }
        ordered = {name: entries[name] for name in RECIPES if name in entries}
        write_atomically(path, json.dumps(ordered, indent=2) + "\n")
    return path


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the study as a command."""
    training.command("pretrained.py", Options, study, argv)


if __name__ == "__main__":
    main()
