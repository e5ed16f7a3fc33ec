"""What an accelerator does with the recipes: whether it is right, how fast it is, and how soon samples are good.

Run:       python experiments/studies/accelerator.py                    (--help lists every flag)
           python experiments/studies/accelerator.py --parts good --methods vanilla_gan dcgan
           python experiments/studies/accelerator.py --small            (everything at small sizes, on a CPU too)
Needs:     a GPU or TPU; PyTorch beside it for the twins. Nothing is downloaded. A machine without some of the
           packages takes them as a folder on PYTHONPATH: see experiments/README.md
Time:      eight minutes at most, --seconds; what is not measured by then is named
Expect:    a table per question for each card, and a list of what has no result, with the reason
Writes:    runs/accelerator/ (or --out) with report.md and results.json, anew after each row

The same command goes on where an earlier one stopped: what results.json holds of the same card is not measured again.
Each measurement runs in a process of its own, so that a crash, a hang or a lack of memory costs one row.
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

PARTS = {"right": 0.35, "fast": 0.4, "good": 0.25}  # with its share of the time
METHODS = ("vanilla_gan", "dcgan", "wgan", "vae", "r3gan", "flow_matching")
SHOWN = ("vanilla_gan", "dcgan")  # where two methods are enough
CONVOLUTIONAL = ("dcgan", "wgan", "r3gan")
REPEATABLE = "--xla_gpu_deterministic_ops=true"
GRAPHS = "--xla_gpu_enable_command_buffer=+WHILE,+CONDITIONAL"  # the loop over steps as one CUDA graph
AT_MOST = 90.0  # seconds of a task in the parts right and fast
GRACE = 15.0  # seconds that a task may go on after its part's time


@dataclass(frozen=True)
class Options:
    """Measures an accelerator, and writes a report anew after each row."""

    parts: tuple[str, ...] = tuple(PARTS)  # right, fast and good, in the order given
    methods: tuple[str, ...] = METHODS  # recipes to measure
    seconds: float = 480.0  # time for all parts together
    small: bool = False  # small sizes, on whatever device is here
    out: Path = Path("runs/accelerator")  # folder of the report and its rows
    data_dir: Path | None = None  # folder of prepared TFDS data sets; None: TFDS_DATA_DIR or ~/tensorflow_datasets


def study(options: Options) -> Path:
    """Carries out what is not measured yet, part by part."""
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
        data.load("mnist", split=split, data_dir=options.data_dir)  # prepared before any clock starts
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
    """When each part has to end; what one leaves is the next one's."""
    total, ends = sum(PARTS[part] for part in parts), {}
    for i, part in enumerate(parts):
        ends[part] = began + seconds * sum(PARTS[each] for each in parts[: i + 1]) / total
    return ends


def tasks(options: Options, platform: str) -> list[Task]:
    """Lists what is to be measured, within each part the most telling first."""
    setting = Setting(options.small, options.data_dir)
    listed = {"right": right_tasks, "fast": fast_tasks, "good": good_tasks}
    return [task for part in options.parts for task in listed[part](options.methods, setting, platform == "gpu")]


def task_of(part: str, measure: Callable, xla_flags: str = "", *, fresh: bool = False, **arguments: Any) -> Task:
    """A task that is named by its part, what it measures and of what."""
    words = [", ".join(value) if isinstance(value, tuple) else str(value) for value in arguments.values()]
    name = " ".join([part, measure.__name__.replace("_", " "), *filter(None, words[1:])])  # all but the setting
    return Task(part, name, measure, arguments, xla_flags, fresh)


def right_tasks(methods: Sequence[str], setting: Setting, gpu: bool) -> Iterator[Task]:
    """Agreement with the CPU, and of repetitions with each other."""
    task, shown = partial(task_of, "right", setting=setting), tuple(m for m in SHOWN if m in methods)
    yield task(right.convolutions)
    yield from (task(right.agreement, method=m) for m in methods)
    for flags in ("", REPEATABLE) if gpu else ("",):
        for process in (1, 2) if shown else ():
            yield task(right.same_bytes, flags, fresh=True, methods=shown, flags=flags, process=process)
    yield from (task(right.front_ends, method=m) for m in shown)


def fast_tasks(methods: Sequence[str], setting: Setting, gpu: bool) -> Iterator[Task]:
    """Ceilings, steps at the sizes that matter most, the loop and starts; then all other sizes and forms."""
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
    """Recipes to their end."""
    yield from (task_of("good", good.recipe, setting=setting, method=m) for m in methods)


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the study as a command."""
    command("accelerator", Options, study, argv)


if __name__ == "__main__":
    main()
