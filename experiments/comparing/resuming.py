"""What a killed run needs to go on as if nothing had happened, and whether the same seed gives the same bytes."""

import dataclasses
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from benchmarking.processors import cpus

from comparing import checkpoint_items as items
from comparing.designs import DESIGNS, EXPERIMENTS, FUNCTIONAL, NNX, PYTORCH, Row, designs_of
from comparing.options import Options
from comparing.short_run import STEPS_PER_EPOCH, ShortRun

EPOCHS, KILL_AT = 3, 15
LEFT_OUT = {
    FUNCTIONAL: (items.OPTIMIZERS, items.STATISTICS),
    PYTORCH: (items.OPTIMIZERS, items.STATISTICS, items.RANDOM, items.ORDER),
    NNX: (items.OPTIMIZERS, items.STATISTICS, items.RANDOM),
}

Measured = dict[str, Any]


def measure(options: Options) -> Measured:
    """Trains every method in every design unbroken, again, killed and resumed, and with items left out.

    Args:
      options: which methods, and on how many threads.

    Returns:
      By method and design: see :func:`compare`.
    """
    pairs = [(method, design) for method in options.methods for design in designs_of(method)]
    with tempfile.TemporaryDirectory() as root, ThreadPoolExecutor(max(1, len(cpus()) // options.threads)) as pool:
        jobs = [
            pool.submit(compare, method, design, folder=Path(root, f"{method} {design}"), options=options)
            for method, design in pairs
        ]
        found: Measured = {method: {} for method in options.methods}
        for (method, design), job in zip(pairs, jobs, strict=True):
            found[method][design] = job.result()
        return found


def compare(method: str, design: str, *, folder: Path, options: Options, epochs: int = EPOCHS) -> Measured:
    """Compares what short trainings of one method in one design end with.

    Args:
      method: what trains.
      design: how.
      folder: where the trainings may write.
      options: where the data lie, and how many threads.
      epochs: how long the trainings are; one is killed at step `KILL_AT`.

    Returns:
      ``saved`` (bytes by item of the checkpoint), ``again`` and ``resumed`` (see :func:`difference`) and ``without``
      (the same by the item left out).
    """
    data_dir = None if options.data_dir is None else str(options.data_dir)
    unbroken = ShortRun(design, method, str(folder / "unbroken"), epochs, data_dir=data_dir)
    again = dataclasses.replace(unbroken, folder=str(folder / "again"))
    killed = dataclasses.replace(unbroken, folder=str(folder / "killed"), kill_at=KILL_AT)
    cache = folder / "programs"
    start([unbroken], options, cache=cache)
    start([again], options, cache=folder / "programs, again")
    start([killed], options, cache=cache, killed=True)
    whole = items.contents(design, Path(unbroken.folder))
    resumed = dataclasses.replace(killed, kill_at=None)
    shorter = [
        dataclasses.replace(resumed, folder=str(folder / f"without {item}"), without=item)
        for item in LEFT_OUT[design]
        if item in whole
    ]
    for run in shorter:
        shutil.copytree(killed.folder, run.folder)
    start([resumed, *shorter], options, cache=cache)
    return {
        "saved": {item: sum(x.nbytes for x in whole[item].values()) for item in items.ITEMS if item in whole},
        "again": difference(again, unbroken),
        "resumed": difference(resumed, unbroken),
        "without": {run.without: difference(run, unbroken) for run in shorter},
    }


def start(runs: Sequence[ShortRun], options: Options, *, cache: Path, killed: bool = False) -> None:
    """Trains in a fresh process.

    Args:
      runs: what it does, one after the other.
      options: how many threads it has.
      cache: the folder of its compiled programs.
      killed: whether it is to die by SIGKILL.

    Raises:
      RuntimeError: if it ends in another way.
    """
    threads = str(options.threads)
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(EXPERIMENTS), *filter(None, [os.environ.get("PYTHONPATH")])]),
        "NPROC": threads,
        "OMP_NUM_THREADS": threads,
        "JAX_COMPILATION_CACHE_DIR": str(cache),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    command = [sys.executable, "-m", "comparing.short_run", *(json.dumps(dataclasses.asdict(run)) for run in runs)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode != (-signal.SIGKILL if killed else 0):
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise RuntimeError(f"{runs[0].method} in {runs[0].design} ended with code {done.returncode}: {last}")


def difference(run: ShortRun, reference: ShortRun) -> Measured:
    """Compares the ends of two trainings.

    Args:
      run: one.
      reference: the other.

    Returns:
      ``differ`` (items of the final checkpoint, and the metrics, that are not the same to the byte), ``weights`` (the
      norm of the difference of all parameters over their norm) and ``losses`` (the largest relative difference in
      the rows of metrics).
    """
    ends = [items.contents(each.design, Path(each.folder)) for each in (run, reference)]
    rows = [[json.loads(line) for line in _metrics(each).splitlines()] for each in (run, reference)]
    differ = [item for item in ends[1] if not _same(ends[0].get(item, {}), ends[1][item])]
    losses = [
        abs(a[name] - b[name]) / max(abs(b[name]), sys.float_info.min) for a, b in zip(*rows, strict=True) for name in b
    ]
    return {
        "differ": differ + ["metrics"] * (_metrics(run) != _metrics(reference)),
        "weights": _distance(*(end[items.PARAMETERS] for end in ends)),
        "losses": max(losses),
    }


def _metrics(run: ShortRun) -> str:
    return Path(run.folder, "metrics.jsonl").read_text()


def _same(a: Mapping[str, np.ndarray], b: Mapping[str, np.ndarray]) -> bool:
    return a.keys() == b.keys() and all(a[path].tobytes() == b[path].tobytes() for path in b)


def _distance(a: Mapping[str, np.ndarray], b: Mapping[str, np.ndarray]) -> float:
    squares = sum(float(np.square(np.subtract(a[path], b[path], dtype=float)).sum()) for path in b)
    return math.sqrt(squares / sum(float(np.square(b[path], dtype=float).sum()) for path in b))


def section(measured: Measured) -> str:
    """Writes what was found as Markdown."""
    lines = [
        "## Resuming and repeating",
        "",
        f"Every method trains {EPOCHS} short epochs of {STEPS_PER_EPOCH} steps on MNIST digits, by the loops that the "
        "scripts use, four times, each in a fresh process: unbroken; the same again, with programs compiled anew; and "
        f"killed by SIGKILL at step {KILL_AT} and resumed from the last checkpoint. Same "
        "means: every array of the final checkpoint and every row of metrics, to the byte.",
        "",
        "| method | design | the same again | resumed, the same as unbroken |",
        "|---|---|---|---|",
    ]
    cells = [(method, design, found) for method, designs in measured.items() for design, found in designs.items()]
    for method, design, found in cells:
        lines.append(f"| {method} | {design} | {_verdict(found['again'])} | {_verdict(found['resumed'])} |")
    names = _in_order(item for _, _, found in cells for item in found["saved"])
    lines += [
        "",
        "What the checkpoint holds at the end of an epoch, in bytes. No random state and no order of the data belong "
        "to the functional run: every random number is a function of seed, step and example, and the order one of "
        "seed and epoch. The NNX twin does the same with the order. Within an epoch PyTorch's checkpoint also holds "
        "the sums of the metrics.",
        "",
        f"| method | design | {' | '.join(names)} | all |",
        "|---|---|" + "---:|" * (len(names) + 1),
    ]
    for method, design, found in cells:
        counts = " | ".join(f"{found['saved'][name]:,}" if name in found["saved"] else "" for name in names)
        lines.append(f"| {method} | {design} | {counts} | {sum(found['saved'].values()):,} |")
    lines += [
        "",
        "What happens when the resumed run takes everything but one item from the checkpoint, and begins that item "
        "anew; all of these runs went to their end without an error. In PyTorch's loop each item has a line of its own "
        "that can be forgotten; the state of the other two is one value, of which the item was replaced on purpose. "
        "Weights: norm of the difference to the unbroken run at the end, over the norm of the weights; losses: largest "
        "relative difference in a row of metrics. Running batch statistics are read by samples, not by training.",
        "",
        "| method | design | left out | weights | losses | not the same at the end |",
        "|---|---|---|---:|---:|---|",
    ]
    for method, design, found in cells:
        for item, changed in found["without"].items():
            sizes = f"{changed['weights']:.1e} | {changed['losses']:.1e}"
            lines.append(f"| {method} | {design} | {item} | {sizes} | {', '.join(changed['differ'])} |")
    return "\n".join([*lines, ""])


def _in_order(found: Iterable[str]) -> list[str]:
    known = set(found)
    return [item for item in items.ITEMS if item in known]


def _verdict(found: Measured) -> str:
    return f"no: {', '.join(found['differ'])}" if found["differ"] else "yes"


def summary(measured: Measured) -> list[Row]:
    """Answers what resuming needs, whether it is exact, and whether training repeats, for each design."""
    answers: dict[str, list[str]] = {"again": [], "resumed": [], "saved": [], "without": []}
    for design in DESIGNS:
        found = [designs[design] for designs in measured.values() if design in designs]
        for key in ("again", "resumed"):
            same = sum(not each[key]["differ"] for each in found)
            answers[key].append(f"{same} of {len(found)} methods" if found else "")
        answers["saved"].append(", ".join(_in_order(item for each in found for item in each["saved"])))
        changed = [(each["without"][item]["weights"], item) for each in found for item in each["without"]]
        answers["without"].append(f"{max(changed)[0]:.0%} ({max(changed)[1]})" if changed else "")
    return [
        Row("What must be saved to resume bit for bit?", *answers["saved"]),
        Row("Killed and resumed: the same bytes as an unbroken run?", *answers["resumed"]),
        Row("How far do weights move if one item is left out, at most?", *answers["without"]),
        Row("The same seed in a fresh process: the same bytes?", *answers["again"]),
    ]
