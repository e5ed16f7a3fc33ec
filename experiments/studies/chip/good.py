"""Time in which an accelerator trains each recipe to its quality on CPU."""

import json
import math
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from studies import quality, training
from studies.chip.recipes import Setting
from studies.chip.worker import Row

ON_CPU = Path(__file__).resolve().parents[2] / "gallery" / "quality" / "results.json"
MARGIN = 1.1  # distances up to this factor times the distance on CPU count as the same quality


def recipe(setting: Setting, method: str) -> Iterator[Row]:
    """Trains a recipe to the end with evaluations, and compares it with the CPU run of the quality report."""
    with tempfile.TemporaryDirectory() as folder:
        epochs = quality.RECIPES[method].run.epochs
        run = {"workdir": Path(folder, method), "data_dir": setting.data_dir}
        run |= {"evaluate_every": None if setting.small else math.ceil(epochs / quality.EVALUATIONS)}
        config = training.with_epochs(setting.recipe(method, run=run), 1 if setting.small else epochs)
        began = time.perf_counter()
        training.train(config)
        whole = time.perf_counter() - began
        yield Row(
            "quality", {"method": method}, {"training, s": training.training_seconds(run["workdir"]), "run, s": whole}
        )
        found = training.result(config, samples=200 if setting.small else quality.COUNT)
    distance = on_cpu(method)
    reached = [seconds for seconds, value in found.curve if distance and value <= MARGIN * distance]
    values = {name: found.metrics[name]["mean"] for name in training.MAIN}
    values |= {"floor": found.metrics["frechet_distance"]["floor"], "distance on CPU": distance}
    yield Row("quality", {"method": method}, values | {"seconds to that": reached[0] if reached else "not reached"})


def on_cpu(method: str) -> float | None:
    """Returns the Fréchet distance of the run in the quality report."""
    results = json.loads(ON_CPU.read_text())["results"] if ON_CPU.exists() else {}
    found = results.get(method)
    return found["metrics"]["frechet_distance"]["mean"] if isinstance(found, dict) else None
