"""Measures an accelerator: whether it computes correctly, how fast it trains, and how soon samples are good.

Run:       python experiments/studies/accelerator.py                    (--help lists every flag)
           python experiments/studies/accelerator.py --parts good --methods vanilla_gan dcgan
           python experiments/studies/accelerator.py --small            (small sizes, also on a CPU)
Needs:     a GPU or TPU; PyTorch for the twins. Downloads nothing. Missing packages can be in a folder on PYTHONPATH:
           see experiments/README.md
Time:      at most eight minutes (--seconds); the report lists what was not measured by then
Expect:    a table per question for each device, and a list of measurements without a result, with the reason
Writes:    runs/accelerator/ (or --out) with report.md and results.json, updated after each row

The same command resumes an interrupted study: measurements of the same device in results.json are not repeated.
Measurements run in separate processes, so a crash, a hang or an out-of-memory error costs one row.
"""

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # experiments/

from studies.chip import fast, good, report, right, worker
from studies.chip.fast import EAGER, TWINS
from studies.chip.recipes import RECIPES, Setting
from studies.chip.worker import Done, Failed, Row, Task
from studies.speed.programs import RECIPES as WITH_TWIN
from studies.training import check, command

from jaxgan import data
from jaxgan.errors import UserError

PARTS = {"right": 0.35, "fast": 0.4, "good": 0.25}  # with their shares of the time
METHODS = ("vanilla_gan", "dcgan", "wgan", "vae", "r3gan", "flow_matching")
SHOWN = ("vanilla_gan", "dcgan")  # for measurements that need only two methods
CONVOLUTIONAL = ("dcgan", "wgan", "r3gan")
REPEATABLE = "--xla_gpu_deterministic_ops=true"
GRAPHS = "--xla_gpu_enable_command_buffer=+WHILE,+CONDITIONAL"  # the loop over steps as one CUDA graph
AT_MOST = 90.0  # maximum seconds of a task in the parts right and fast
GRACE = 15.0  # seconds that a task may exceed the time of its part


@dataclass(frozen=True)
class Options:
    """Measures an accelerator, and updates a report after each row."""

    parts: tuple[str, ...] = tuple(PARTS)  # parts to measure (right, fast, good), in this order
    methods: tuple[str, ...] = METHODS  # recipes to measure
    seconds: float = 480.0  # time for all parts together
    small: bool = False  # small sizes, on any device
    out: Path = Path("runs/accelerator")  # folder for the report and its rows
    data_dir: Path | None = None  # folder of prepared TFDS data sets; None: TFDS_DATA_DIR or ~/tensorflow_datasets


def study(options: Options) -> Path:
    """Runs all measurements without a result, part by part."""
    check("--parts", options.parts, PARTS)
    check("--methods", options.methods, RECIPES)
    if not 0 < options.seconds < float("inf"):
        raise UserError(f"--seconds: {options.seconds} is not allowed, it must be positive and finite")
    began, results = time.monotonic(), report.read(options.out / "results.json")
    found = worker.identify()
    if found["platform"] == "none":
        named = os.environ.get("JAX_PLATFORMS", "")
        raise UserError(f"JAX_PLATFORMS: {named!r} gives no device, choose cpu, cuda or tpu, or leave it away")
    if found["platform"] == "cpu" and not options.small:
        raise UserError("--small: False is not allowed, JAX finds no GPU or TPU here; add --small to try it on a CPU")
    for split in ("train", "test"):
        data.load("mnist", split=split, data_dir=options.data_dir)  # prepares the data before the timing starts
    options.out.mkdir(parents=True, exist_ok=True)
    card = found["card"] + ", small" * options.small
    results["cards"][card] = report.about(found)
    ends = part_ends(options.parts, began, options.seconds)
    wanted = [task for task in tasks(options, found["platform"]) if [card, task.name] not in results["done"]]

    def until(task: Task) -> tuple[float, float]:
        end = min(ends[task.part] + GRACE, began + options.seconds)
        return ends[task.part], end if task.part == "good" else min(end, time.monotonic() + AT_MOST)

    for task, answer in worker.answers(wanted, until=until):
        if isinstance(answer, Row):
            report.add(results, card, answer)
        else:
            print(f"{task.name}: {answer.why if isinstance(answer, Failed) else f'{answer.seconds:.1f} s'}", flush=True)
            report.forget_problem(results, card, task.name)
            if isinstance(answer, Done):
                results["done"].append([card, task.name])
            else:
                report.add(results, card, Row("problems", {"task": task.name}, {"reason": answer.why}))
        report.write(results, options.out)
    return report.write(results, options.out)


def part_ends(parts: Sequence[str], began: float, seconds: float) -> dict[str, float]:
    """Returns the time at which each part ends; unused time goes to the next part."""
    total, ends = sum(PARTS[part] for part in parts), {}
    for i, part in enumerate(parts):
        ends[part] = began + seconds * sum(PARTS[each] for each in parts[: i + 1]) / total
    return ends


def tasks(options: Options, platform: str) -> list[Task]:
    """Lists the measurements, within each part the most informative first."""
    setting = Setting(options.small, options.data_dir)
    listed = {"right": right_tasks, "fast": fast_tasks, "good": good_tasks}
    return [task for part in options.parts for task in listed[part](options.methods, setting, platform == "gpu")]


def task_of(part: str, measure: Callable, xla_flags: str = "", *, fresh: bool = False, **arguments: Any) -> Task:
    """Makes a task, named after its part, measurement and arguments."""
    values = [", ".join(value) if isinstance(value, tuple) else str(value) for value in arguments.values()]
    name = " ".join([part, measure.__name__.replace("_", " "), *filter(None, values[1:])])  # without the setting
    return Task(part, name, measure, arguments, xla_flags, fresh)


def right_tasks(methods: Sequence[str], setting: Setting, gpu: bool) -> Iterator[Task]:
    """Compares the accelerator with the CPU, and repetitions with each other."""
    task, shown = partial(task_of, "right", setting=setting), tuple(m for m in SHOWN if m in methods)
    yield task(right.convolutions)
    yield from (task(right.agreement, method=m) for m in methods)
    for flags in ("", REPEATABLE) if gpu else ("",):
        for process in (1, 2) if shown else ():
            yield task(right.same_bytes, flags, fresh=True, methods=shown, flags=flags, process=process)
    yield from (task(right.front_ends, method=m) for m in shown)


def fast_tasks(methods: Sequence[str], setting: Setting, gpu: bool) -> Iterator[Task]:
    """Measures ceilings, steps at the most important sizes, the loop and starts; then all other sizes and forms."""
    task, shown = partial(task_of, "fast", setting=setting), [m for m in SHOWN if m in methods]
    first, *others = (16,) if setting.small else (64, 8192, 1024, 256)

    def steps(size: int, precision: str, twin: str = EAGER) -> Iterator[Task]:
        for m in methods:
            if m in WITH_TWIN or twin == EAGER:
                twins = (twin,) * (m in WITH_TWIN)
                yield task(fast.steps, method=m, batch_size=size, precision=precision, twins=twins)

    yield task(fast.ceilings)
    yield from steps(first, "default")
    yield from (task(fast.calls, fresh=True, method=m) for m in shown[:1])
    yield from (task(fast.first_steps, fresh=True, method=m) for m in shown)
    for size in others[:1]:
        yield from steps(size, "default")
    for twin in tuple(TWINS)[1:] if gpu else ():
        yield from steps(first, "default", twin)
    for flags in ("", GRAPHS) if gpu else ():
        yield from (task(fast.flags, flags, method=m, batch_size=first, flags=flags) for m in shown)
    yield from (task(fast.forms, method=m, batch_size=first) for m in methods if m in CONVOLUTIONAL)
    for precision in ("bfloat16", "float32"):
        for size in (first, *others[:1]):
            yield from steps(size, precision)
    for size in others[1:]:
        yield from steps(size, "default")


def good_tasks(methods: Sequence[str], setting: Setting, gpu: bool) -> Iterator[Task]:
    """Trains recipes to the end."""
    yield from (task_of("good", good.recipe, setting=setting, method=m) for m in methods)


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the study as a command."""
    command("accelerator", Options, study, argv)


if __name__ == "__main__":
    main()
