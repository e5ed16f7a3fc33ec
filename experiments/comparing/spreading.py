"""From one device to several: what must change in each design, and how far the results then are from those of one."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from comparing import lines
from comparing.concerns import DEVICES, FUNCTIONAL_TABLE
from comparing.designs import FUNCTIONAL, PYTORCH, Row
from comparing.options import Options
from comparing.patches import PATCHES, apply, changes, size
from comparing.spread_run import EXPERIMENTS, Spec
from comparing.tracing import ROOT

COUNT = 2
STEPS = 20


def device_lines() -> dict[str, list[tuple[int, str]]]:
    """Finds the lines of the package that are there for several devices, by the rule of `lines`.

    Returns:
      By file, numbers and text.
    """
    found = {}
    for file in (name for name in FUNCTIONAL_TABLE if name.startswith("jaxgan/")):
        text = (ROOT / file).read_text().splitlines()
        chosen = [
            x.number for x in lines.lines_of(ROOT / file) if lines.concern(file, x, FUNCTIONAL_TABLE).name == DEVICES
        ]
        if chosen:
            found[file] = [(number, text[number - 1]) for number in chosen]
    return found


def run(spec: Spec, *, processes: int = 1) -> list[Mapping[str, np.ndarray]]:
    """Trains in new processes.

    Args:
      spec: what; its ``out`` and ``workdir`` are in a folder that exists.
      processes: how many that talk to one another; 1 for the plain command.

    Returns:
      What each process found, see `spread_run`.

    Raises:
      RuntimeError: if one failed, with what it printed.
    """
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    script = str(Path(__file__).with_name("spread_run.py"))
    command = [sys.executable, *(launcher if processes > 1 else []), script, json.dumps(spec._asdict())]
    flags = f"--xla_force_host_platform_device_count={COUNT} {os.environ.get('XLA_FLAGS', '')}"
    environment = os.environ | {"JAX_PLATFORMS": "cpu", "OMP_NUM_THREADS": "1", "XLA_FLAGS": flags}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{spec.design} of {spec.method} failed: {done.stdout[-2000:]}{done.stderr[-4000:]}")
    return [np.load(f"{spec.out}.{rank}.npz") for rank in range(processes)]


def differences(one: Mapping[str, np.ndarray], several: Sequence[Mapping[str, np.ndarray]]) -> dict[str, float]:
    """Measures how far a training on several devices went from that on one.

    Args:
      one: what the training on one device found.
      several: what each process of the other found; the mean of their metrics is that of the whole batch.

    Returns:
      ``loss``: the largest difference of a loss in any step, relative to the largest absolute value of that loss;
      ``weights``: the distance of the final weights, relative to how far training moved them;
      ``between``: the largest difference of a weight between processes.
    """
    losses = [name for name in one if name.startswith("metrics/") and name.endswith(("loss", "negative_elbo"))]

    def gap(name: str) -> float:
        mean = np.mean([found[name] for found in several], axis=0)
        return float(np.abs(mean - one[name]).max() / np.abs(one[name]).max())

    def distance(first: Mapping[str, np.ndarray], second: Mapping[str, np.ndarray], when: str) -> float:
        names = [name.removeprefix("after/") for name in one if name.startswith("after/")]
        return sum(np.square(first[f"after/{n}"] - second[f"{when}/{n}"], dtype=np.float64).sum() for n in names) ** 0.5

    after = [name for name in one if name.startswith("after/")]
    return {
        "loss": max(map(gap, losses)),
        "weights": float(distance(several[0], one, "after") / distance(one, one, "before")),
        "between": max(float(np.abs(found[name] - several[0][name]).max()) for found in several for name in after),
    }


def compare(method: str, patched: Path, *, data_dir: Path | None, steps: int = STEPS) -> dict[str, dict[str, float]]:
    """Trains a method in both designs on one device and on two, and measures the differences.

    Args:
      method: which.
      patched: the folder with the twins for several processes.
      data_dir: where MNIST is prepared.
      steps: how long.

    Returns:
      By design, :func:`differences`, and what PyTorch says to SyncBatchNorm among these processes.
    """
    found: dict[str, list] = {FUNCTIONAL: [], PYTORCH: []}
    for devices in (1, COUNT):
        for design, kind, processes in ((FUNCTIONAL, "recipe", 1), (PYTORCH, "twin", devices)):
            with tempfile.TemporaryDirectory() as folder:
                twins = str(EXPERIMENTS if devices == 1 else patched)
                paths = (twins, f"{folder}/found", f"{folder}/run", data_dir and str(data_dir))
                found[design].append(
                    [dict(x) for x in run(Spec(kind, method, steps, devices, *paths), processes=processes)]
                )
    refusal = str(found[PYTORCH][1][0]["refusal"])
    return {design: differences(one[0], several) for design, (one, several) in found.items()} | {"refusal": refusal}


def measure(options: Options) -> dict[str, Any]:
    """Makes the changes, counts them, and runs what comes of them.

    Args:
      options: which methods, and where the data are.

    Returns:
      By method the diff of the twin, its size and the differences, and what PyTorch says to SyncBatchNorm on a CPU; and
      the lines that the package has for several devices.
    """
    methods = {}
    for method in options.methods:
        with tempfile.TemporaryDirectory() as folder:
            patched = apply(PATCHES[method], Path(folder))
            diff = changes(patched)
            found = compare(method, patched, data_dir=options.data_dir)
        methods[method] = {"diff": diff, "size": size(diff), "refusal": found.pop("refusal"), "differences": found}
    return {"methods": methods, "package": device_lines(), "devices": COUNT, "steps": STEPS}


def section(measured: dict[str, Any]) -> str:
    """Writes the table, what it means, and the diffs.

    Args:
      measured: from :func:`measure`.

    Returns:
      Markdown.
    """
    methods, count = measured["methods"], measured["devices"]
    package = sum(map(len, measured["package"].values()))
    rows = [
        "| method | lines changed, functional | lines changed, PyTorch | losses, functional | losses, PyTorch "
        "| weights, functional | weights, PyTorch |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for method, found in methods.items():
        gaps = found["differences"]
        cells = [f"{gaps[design][what]:.1e}" for what in ("loss", "weights") for design in (FUNCTIONAL, PYTORCH)]
        rows.append(f"| {method} | 0 | +{found['size']['added']} -{found['size']['removed']} | {' | '.join(cells)} |")
    between = max(found["differences"][PYTORCH]["between"] for found in methods.values())
    parts = [
        "## From one device to several",
        "What changes for a user who has the program for one device. The recipes' command gets a flag (without it, it "
        "takes as many devices as divide the batch), the twins a patch and another launcher:",
        f"```diff\n-python experiments/METHOD.py --devices 1\n+python experiments/METHOD.py --devices {count}\n\n"
        "-python experiments/imperative/METHOD.py\n"
        f"+torchrun --nproc-per-node {count} experiments/imperative/METHOD.py\n```",
        f"*Lines changed* counts code lines of the patch, which is below. The recipes pay in the package: {package} of "
        "its lines name devices or their axis (below too), once for all methods. NNX twins stay on one device here.",
        f"*Losses* and *weights* say how far {measured['steps']} steps on {count} devices (CPU devices of XLA; "
        "processes that talk through gloo) are from the same steps on one, with the same global batches and noise, in "
        "float64: the largest difference of a loss, relative to its largest value, and the distance between the final "
        f"weights, relative to how far training moved them. The weights of the {count} processes differ by "
        f"{between:.1g}.",
        "\n".join(rows),
        *_remarks(methods),
        *(_folded(f"{method}: the patch", "diff", found["diff"]) for method, found in _distinct(methods).items()),
        _folded(f"The {package} lines of the package that are there for several devices", "python", _listing(measured)),
    ]
    return "\n\n".join(parts) + "\n"


def _remarks(methods: Mapping[str, Any]) -> list[str]:
    remarks = [
        "The patch seeds the noise of each process for itself, so that as a plain command it gives other numbers with "
        f"each number of processes; to compare, the noise of one process was shared out between the {COUNT} here. The "
        "recipes' noise belongs to an example, wherever that is. The patch also has to save the state of every "
        "process's random numbers, and its run goes on bit for bit only with as many processes.",
    ]
    refusal = next((found["refusal"] for method, found in methods.items() if len(PATCHES[method]) > 1), "")
    if refusal:
        remarks.append(
            f"Batch normalization is where {COUNT} processes on CPU are not one: PyTorch's SyncBatchNorm refuses "
            f"(“{refusal}”), so each process normalizes by the statistics of its share. On GPUs the patch converts the "
            "networks. SyncBatchNorm is no BatchNorm2d, so that the twin's `frozen`, which looks for that class, would "
            "without a word have stopped keeping running statistics in place: the patch must change it too."
        )
    return remarks


def _distinct(methods: Mapping[str, Any]) -> dict[str, Any]:
    """Joins methods with the same diff, so that it is shown once."""
    joined: dict[str, list[str]] = {}
    for method, found in methods.items():
        joined.setdefault(found["diff"], []).append(method)
    return {", ".join(names): methods[names[0]] for names in joined.values()}


def _listing(measured: dict[str, Any]) -> str:
    files = measured["package"].items()
    return "\n\n".join(f"# {file}\n" + "\n".join(f"{n:4d} {text}" for n, text in found) for file, found in files)


def _folded(title: str, language: str, text: str) -> str:
    return f"<details><summary>{title}</summary>\n\n```{language}\n{text.rstrip()}\n```\n\n</details>"


def summary(measured: dict[str, Any]) -> list[Row]:
    """Writes the rows of the report's first table.

    Args:
      measured: from :func:`measure`.

    Returns:
      The sizes of the changes, and the distances from the results of one device.
    """
    methods, count = measured["methods"].values(), measured["devices"]
    sizes = sorted({f"+{found['size']['added']} -{found['size']['removed']}" for found in methods})
    rows = [Row(f"lines to change for {count} devices", "0, a flag", " or ".join(sizes))]
    for method, found in measured["methods"].items():
        gaps = (f"{found['differences'][design]['loss']:.1e}" for design in (FUNCTIONAL, PYTORCH))
        rows.append(Row(f"{count} devices from one, losses, {method}", *gaps))
    return rows
