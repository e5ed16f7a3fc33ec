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

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # experiments/

from studies.chip import fast, good, report, right, worker
from studies.chip.recipes import RECIPES, Setting
from studies.chip.worker import Done, Failed, Row, Task
from studies.speed.programs import COMPILED, EAGER, GRAPHED
from studies.speed.programs import RECIPES as WITH_TWIN
from studies.training import check, command

from jaxgan import data
from jaxgan.errors import UserError

PARTS = {"right": 0.35, "fast": 0.4, "good": 0.25}  # with its share of the time
METHODS = ("vanilla_gan", "dcgan", "wgan", "vae", "r3gan", "flow_matching")
SHOWN = ("vanilla_gan", "dcgan")  # where two methods are enough
CONVOLUTIONAL = ("dcgan", "wgan", "r3gan")
REPEATABLE = "--xla_gpu_exclude_nondeterministic_ops=true"
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
    if found["platform"] in ("cpu", "none") and not options.small:
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
    setting, listed = Setting(options.small, options.data_dir), {"right": right_tasks, "fast": fast_tasks}
    made = listed | {"good": lambda *_: [("recipe", good.recipe, {"method": m}) for m in options.methods]}
    return [
        Task(part, name_of(part, measure, arguments), function, {"setting": setting, **arguments}, *more)
        for part in options.parts
        for measure, function, arguments, *more in made[part](options, platform)
    ]


def name_of(part: str, measure: str, arguments: dict) -> str:
    """The name of a task: its part, what it measures and of what."""
    words = [", ".join(value) if isinstance(value, tuple) else str(value) for value in arguments.values()]
    return " ".join(filter(None, [part, measure, *words]))


def right_tasks(options: Options, platform: str) -> list[tuple]:
    """Agreement with the CPU, and of repetitions with each other."""
    listed = [("convolutions", right.convolutions, {})]
    listed += [("agreement", right.agreement, {"method": m}) for m in options.methods]
    shown = tuple(m for m in SHOWN if m in options.methods)
    for flags in ("", REPEATABLE)[: 1 + (platform == "gpu")] if shown else ():
        for process in (1, 2)[: 1 if options.small else 2]:
            arguments = {"methods": shown, "flags": flags, "process": process}
            listed.append(("same bytes", right.same_bytes, arguments, flags, True))
    return listed + [("front ends", right.front_ends, {"method": m}) for m in shown]


def fast_tasks(options: Options, platform: str) -> list[tuple]:
    """Ceilings, steps at the sizes that matter most, the loop and starts; then all other sizes and forms."""
    small, large, between = (16, 64, ()) if options.small else (64, 8192, (1024, 256))

    def at(sizes: Sequence[int], precision: str, twin: str = EAGER) -> list[tuple]:
        return [
            ("steps", fast.steps, {"method": m, "batch_size": size, "precision": precision, "twins": twins})
            for size in sizes
            for m in options.methods
            if (twins := (twin,) if m in WITH_TWIN else ()) or twin == EAGER
        ]

    shown = [m for m in SHOWN if m in options.methods]
    listed = [("ceilings", fast.ceilings, {}), *at([small], "default")]
    listed += [("calls", fast.calls, {"method": m}, "", True) for m in shown[:1]]
    listed += [("first steps", fast.first_steps, {"method": m}, "", True) for m in shown[: 1 if options.small else 2]]
    listed += at([large], "default")
    for twin in (COMPILED, GRAPHED) if platform == "gpu" else ():
        listed += at([small], "default", twin)
    if platform == "gpu":
        for m in shown:
            arguments = {"method": m, "batch_size": small, "precision": "default"}
            listed.append(("steps", fast.steps, {**arguments, "flags": GRAPHS}, GRAPHS))
            listed.append(("steps", fast.steps, {**arguments, "flags": "none"}))
    convolutional = [m for m in options.methods if m in CONVOLUTIONAL]
    listed += [("forms", fast.forms, {"method": m, "batch_size": small}) for m in convolutional]
    listed += [*at([small, large], "bfloat16"), *at([small, large], "float32"), *at(between, "default")]
    return listed


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the study as a command."""
    command("accelerator", Options, study, argv)


if __name__ == "__main__":
    main()
