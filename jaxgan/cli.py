"""The ``jaxgan`` command: data sets, training, inspection of runs, samples, evaluation, export.

A command is a function: its annotations are the flags and its docstring is the help. To add a command, write the
function and add it to ``COMMANDS``. :mod:`jaxgan.data_commands` has the commands for data sets,
:mod:`jaxgan.view_commands` those that inspect runs. Commands import lazily: JAX is slow to import, and not all need it.
"""

import inspect
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import tyro
from rich.console import Console

from jaxgan.data_commands import DATA_COMMANDS, Folder
from jaxgan.errors import (
    UserError,
    one_line_errors,
    parse,
    printed_warnings,
    require_target,
    require_values,
    writing,
)
from jaxgan.runtime.signals import exit_on_signals
from jaxgan.train_command import train, train_recipe
from jaxgan.view_commands import VIEW_COMMANDS


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the command line.

    Args:
      argv: the arguments without the program name; default: those of ``sys.argv``.

    Raises:
      SystemExit: with exit code 2 after a user error, and others; see :func:`jaxgan.errors.one_line_errors` and
        :func:`jaxgan.runtime.signals.exit_on_signals`.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    with one_line_errors("jaxgan"), exit_on_signals("jaxgan"):
        if argv[:1] == ["train"] and argv[1:] and not argv[1].startswith("-"):  # with the flags of the recipe
            return train_recipe(argv[1], argv[2:])
        app = _app()
        require_values(argv, lists=["--labels"])
        with printed_warnings("jaxgan"):
            parse(
                lambda: app.cli(
                    prog="jaxgan", description="Train, sample, evaluate and export generative models.", args=argv
                ),
                flags=_flags(),
            )


def _app() -> tyro.extras.SubcommandApp:
    app, data_app = tyro.extras.SubcommandApp(), tyro.extras.SubcommandApp()
    for name, command in DATA_COMMANDS.items():
        data_app.command(command, name=name)
    app.command(data_app, name="data", help="List, show and prepare data sets.")
    for name, command in COMMANDS.items():
        app.command(command, name=name)
    return app


def _flags() -> set[str]:
    """Returns the names of all commands and flags."""
    names = {"data", *DATA_COMMANDS, *COMMANDS}
    for command in (*DATA_COMMANDS.values(), *COMMANDS.values()):
        for name, parameter in inspect.signature(command).parameters.items():
            alias = [note.name for note in getattr(parameter.annotation, "__metadata__", ()) if hasattr(note, "name")]
            names.add("--" + next(filter(None, alias), name).replace("_", "-"))
    return names


def evaluate(
    workdir: Annotated[Path | None, tyro.conf.Positional, tyro.conf.arg(metavar="WORKDIR|NAME")] = None,
    samples: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None,
    count: int | None = None,
    seeds: int = 1,
    seed: int = 0,
    out: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None,
    best: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False,
    last: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False,
    replica: int | None = None,
    data_name: Annotated[str | None, tyro.conf.arg(name="data", metavar="NAME")] = None,
    data_dir: Folder = None,
    judge: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None,
) -> None:
    """Evaluate samples of a run or a file against the test images. Training images give the floor of each metric.

    The metrics use the features of a classifier. Numbers from different classifiers are not comparable.

    Args:
        workdir: Folder or address of a run, or the name of a pretrained generator, such as r3gan.
        samples: Evaluate an image file instead of a run: .npy or .npz, uint8 or floats in [0, 1] or [-1, 1].
        count: Number of samples; if omitted: 10,000, or fewer if the file or the training set has fewer images.
        seeds: Number of consecutive seeds to sample with; two or more give mean and standard deviation.
        seed: First seed.
        out: JSON file to write; if omitted: evaluation.json in WORKDIR, and no file with NAME, --samples or --judge.
        best: Evaluate the checkpoint that --keep-best saved, and write best_evaluation.json.
        last: Use the parameters of the last step instead of their moving average.
        replica: Replica to evaluate, if the run has several; if omitted: all, with mean and standard deviation.
        data_name: Data set to compare --samples with; if omitted: mnist. A run uses its own data set.
        data_dir: Root folder of prepared data sets; if omitted: that of the run, TFDS_DATA_DIR or
            ~/tensorflow_datasets.
        judge: File classifier.safetensors of a digit_classifier run, whose features replace those of the pinned
            classifier.
    """
    from jaxgan.evaluation.report import replica_table, table
    from jaxgan.runs import evaluate
    from jaxgan.runs.mirror import local_copy
    from jaxgan.runs.workdir import write_atomically

    if (workdir is None) == (samples is None):
        raise UserError("give either WORKDIR, the folder of a run, or --samples FILE")
    if not 0 <= seed < seed + seeds <= 2**32 or seeds < 1:
        raise UserError(f"--seeds: {seeds} from --seed {seed} is not allowed, give at least 1, all below {2**32}")
    if workdir is not None:
        if data_name is not None:
            raise UserError(f"--data: {data_name!r} is only for --samples, a run is compared with its own data set")
        workdir = local_copy(workdir)
        # A pretrained generator has no folder, and numbers by other features do not belong in evaluation.json.
        if out is None and workdir.is_dir() and judge is None:
            out = workdir / ("best_evaluation.json" if best else "evaluation.json")
    if out is not None:
        require_target("--out", out, usual="evaluation.json")
    if workdir is not None:
        options = {"averaged": not last, "best": best, "replica": replica, "data_dir": data_dir, "judge": judge}
        evaluation = evaluate.evaluate_run(workdir, count=count, seeds=range(seed, seed + seeds), **options)
    else:
        if seeds > 1 or best or last or replica is not None:
            others = "--seeds, --best, --last and --replica"
            raise UserError(f"--samples: a file holds one set of samples; {others} are only for WORKDIR")
        assert samples is not None
        options = {"count": count, "seed": seed, "data_dir": data_dir, "judge": judge}
        evaluation = evaluate.evaluate_file(samples, data_name=data_name or "mnist", **options)
    try:
        if out is not None:  # before printing, which a closed terminal may end
            with writing("--out", out):
                write_atomically(out, evaluation.to_json())
    finally:
        Console().print(table(evaluation))
    if evaluation.replicas:
        Console().print(replica_table(evaluation))
    if out is not None:
        print(out)


def export_run(
    workdir: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="WORKDIR|NAME")],
    format: Literal["stablehlo", "onnx", "torch"],
    out: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None,
    last: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False,
    replica: int | None = None,
) -> None:
    """Export the networks of a run, from its newest checkpoint, to StableHLO, ONNX or PyTorch weights.

    A manifest, FILE.json, describes the model, its latents and images, and the run.

    Args:
        workdir: Folder or address of a run, or the name of a pretrained generator, such as r3gan.
        format: stablehlo: the function from latents to images in [-1, 1], for jax.export; onnx: the same, for ONNX
            runtimes; torch: safetensors weights of all networks, for load_state_dict of a module with the same layer
            names.
        out: File to write; if omitted: generator.stablehlo, generator.onnx or weights.safetensors in WORKDIR/export,
            or NAME with the same suffix.
        last: Use the parameters of the last step instead of their moving average.
        replica: Replica to export, if the run has several; if omitted: the first.
    """
    from jaxgan.export import export
    from jaxgan.runs.mirror import local_copy

    print(export(local_copy(workdir), format=format, out=out, averaged=not last, replica=replica))


def sample(
    workdir: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="WORKDIR|NAME")],
    out: Annotated[Path | None, tyro.conf.arg(metavar="PATH")] = None,
    animate: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None,
    count: int | None = None,
    seed: int = 0,
    labels: tuple[str, ...] = (),
    truncation: float | None = None,
    interpolate: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False,
    walk: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False,
    best: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False,
    step: int | None = None,
    last: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False,
    replica: int | None = None,
) -> None:
    """Draw samples from a run: one picture, a NumPy file for `jaxgan evaluate --samples`, or a folder of PNG files.

    Args:
        workdir: Folder or address of a run, or the name of a pretrained generator, such as r3gan.
        out: File to write, .png, .npy or .npz; a name without a suffix is a new folder of PNG files; if omitted:
            drawn.png in WORKDIR, or NAME.png.
        animate: Animation to write, .gif, .webp or .mp4 (needs ffmpeg): the images of --interpolate or --walk, or else
            samples of the same latents through training.
        count: Number of samples; if omitted: 64, or 8 with --interpolate or --walk.
        seed: Seed of the samples; `jaxgan evaluate` measures the samples of the same seed.
        labels: Classes to draw in turn, for a conditional run: their numbers in order, or their names if all names
            are numbers; all: every class in turn; data: in the proportions of the training images, as `jaxgan evaluate`
            does; if omitted: data for arrays and folders, all for pictures.
        truncation: Factor on the latents in [0, 1]; less gives fewer bad samples and less variety; if omitted: that of
            the run.
        interpolate: Draw a row of ten images from each sample to the next, and from the last to the first.
        walk: Like --interpolate, in steps small enough for an animation.
        best: Draw from the checkpoint that --keep-best saved.
        step: Draw from the checkpoint of this step; if omitted: the newest.
        last: Use the parameters of the last step instead of their moving average.
        replica: Replica to draw from, if the run has several; if omitted: the first.
    """
    from jaxgan.runs.mirror import local_copy
    from jaxgan.runs.sample import sample_run

    by_name = labels in (("all",), ("data",))
    if not by_name and (wrong := [label for label in labels if not label.isdecimal()]):
        raise UserError(f"--labels: {wrong[0]!r} is not allowed, give class numbers, or only all or data")
    if (interpolate and walk) or (best and step is not None):
        flag, other = ("--walk", "--interpolate") if walk else ("--step", "--best")
        raise UserError(f"{flag}: is not allowed with {other}, leave out one of them")
    way = 10 if interpolate else 24 if walk else 0
    if animate is not None and out is None and not way and (best or step is not None):
        raise UserError("--animate: samples through training have no single checkpoint, leave out --best and --step")
    if animate is not None and out is None and not way:
        given = {"--count": count, "--seed": seed or None, "--labels": labels or None, "--truncation": truncation}
        if ignored := [flag for flag, value in (given | {"--last": last or None}).items() if value is not None]:
            raise UserError(
                f"{ignored[0]}: an animation of training uses the saved samples of the run; add --walk or --out"
            )
    chosen = (labels[0] if by_name else [int(label) for label in labels]) if labels else None
    count = (8 if way else 64) if count is None else count
    options = {"count": count, "seed": seed, "labels": chosen, "truncation": truncation, "averaged": not last}
    options |= {"way": way, "best": best, "step": step, "replica": replica}
    for path in sample_run(local_copy(workdir), out=out, animate=animate, **options):
        print(path)


def completion(
    shell: Annotated[Literal["bash", "zsh", "fish"], tyro.conf.Positional, tyro.conf.arg(metavar="SHELL")],
) -> None:
    """Print a shell script that completes commands, recipes, flags and files.

    Args:
        shell: bash, zsh or fish.
    """
    from jaxgan.completion import script

    print(script(_app(), shell), end="")


COMMANDS = {
    "train": train,
    **VIEW_COMMANDS,
    "sample": sample,
    "evaluate": evaluate,
    "export": export_run,
    "completion": completion,
}

if __name__ == "__main__":
    main()
