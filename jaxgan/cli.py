"""The ``jaxgan`` command: data sets, training, views of runs, samples, evaluation, export.

A command is a function: its annotations are the flags and its docstring is the help. To add one, write it and name it
in ``COMMANDS``. Those of data sets are in :mod:`jaxgan.data_commands`, those to look at runs in
:mod:`jaxgan.view_commands`. Each imports what it needs when it is called: JAX is slow to import, and not all need it.
"""

import inspect
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import tyro
from rich.console import Console

from jaxgan.data_commands import DATA_COMMANDS, Folder
from jaxgan.errors import UserError, one_line_errors, parse, require_target, require_values, writing
from jaxgan.train_command import train, train_recipe
from jaxgan.view_commands import VIEW_COMMANDS


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the command line.

    Args:
      argv: the arguments without the program's name; default: those of the process.

    Raises:
      SystemExit: with code 2 if the user asked for something impossible.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    with one_line_errors("jaxgan"):
        if argv[:1] == ["train"] and argv[1:] and not argv[1].startswith("-"):  # the flags are those of the recipe
            return train_recipe(argv[1], argv[2:])
        app = _app()
        require_values(argv)
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
    """The names of all commands and flags."""
    found = {"data", *DATA_COMMANDS, *COMMANDS}
    for command in (*DATA_COMMANDS.values(), *COMMANDS.values()):
        for name, parameter in inspect.signature(command).parameters.items():
            given = [note.name for note in getattr(parameter.annotation, "__metadata__", ()) if hasattr(note, "name")]
            found.add("--" + next(filter(None, given), name).replace("_", "-"))
    return found


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
    """Evaluate the samples of a run, or of any program, against test images, beside training images as the floor.

    The metrics use the features of a classifier. Numbers of different versions of it do not compare.

    Args:
        workdir: The run's folder or address, or the name of a trained generator, such as r3gan.
        samples: Instead of a run, a file of images, .npy or .npz: uint8, or floats in [0, 1] or [-1, 1].
        count: Number of samples; default: 10,000, or fewer if the file or the training images are fewer.
        seeds: Number of seeds to draw with, one after the other; from two on, mean and deviation are shown.
        seed: The first seed.
        out: The JSON file to write; default: evaluation.json in WORKDIR, or none for a file of samples or with
            --judge.
        best: Evaluate the checkpoint that --keep-best kept, and write best_evaluation.json.
        last: Use the parameters of the last step, not the averaged ones.
        replica: Which replica of a run that has several; default: all, their mean and deviation.
        data_name: The data set to compare a file of samples with, by default mnist; a run knows its own.
        data_dir: Root of prepared data sets; default: that of the run, TFDS_DATA_DIR or ~/tensorflow_datasets.
        judge: The classifier.safetensors of another run of digit_classifier, whose features measure in the place of
            the pinned ones.
    """
    from jaxgan.evaluation.report import replica_table, table
    from jaxgan.runs import evaluate
    from jaxgan.runs.mirror import local_copy
    from jaxgan.runs.workdir import write_atomically

    if (workdir is None) == (samples is None):
        raise UserError("give either WORKDIR, the folder of a run, or --samples FILE")
    if out is not None:
        require_target("--out", out, usual="evaluation.json")
    if not 0 <= seed < seed + seeds <= 2**32 or seeds < 1:
        raise UserError(f"--seeds: {seeds} from --seed {seed} are not allowed, they must be 1 or more below {2**32}")
    if workdir is not None:
        if data_name is not None:
            raise UserError(f"--data: {data_name!r} is for --samples, a run is compared with what it trained on")
        workdir = local_copy(workdir)
        chosen = {"averaged": not last, "best": best, "replica": replica, "data_dir": data_dir, "judge": judge}
        found = evaluate.evaluate_run(workdir, count=count, seeds=range(seed, seed + seeds), **chosen)
        # Nothing is kept of a trained generator of the package, nor beside evaluation.json by other features.
        if out is None and workdir.is_dir() and judge is None:
            out = workdir / ("best_evaluation.json" if best else "evaluation.json")
    else:
        if seeds > 1 or best or last or replica is not None:
            others = "--seeds, --best, --last and --replica"
            raise UserError(f"--samples: a file holds one set of samples; {others} are for WORKDIR")
        assert samples is not None
        how = {"count": count, "seed": seed, "data_dir": data_dir, "judge": judge}
        found = evaluate.evaluate_file(samples, data_name=data_name or "mnist", **how)
    try:
        if out is not None:  # before it is shown, since a terminal may be gone
            with writing("--out", out):
                write_atomically(out, found.to_json())
    finally:
        Console().print(table(found))
    if found.replicas:
        Console().print(replica_table(found))
    if out is not None:
        print(out)


def export_run(
    workdir: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="WORKDIR|NAME")],
    format: Literal["stablehlo", "onnx", "torch"],
    out: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None,
    last: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False,
    replica: int | None = None,
) -> None:
    """Write the networks of a run, from its newest checkpoint, to a file that other programs read.

    A manifest, FILE.json, describes the model, the latents to draw, the images, and the run.

    Args:
        workdir: The run's folder or address, or the name of a trained generator, such as r3gan.
        format: stablehlo: from latents to images in [-1, 1], for jax.export; onnx: the same, for ONNX runtimes; torch:
            a safetensors file of all networks, for load_state_dict of a module with the same layer names.
        out: The file to write; default: generator.stablehlo, generator.onnx or weights.safetensors in WORKDIR/export,
            or NAME.stablehlo and so on.
        last: Use the parameters of the last step, not the averaged ones.
        replica: Which replica of a run that has several; default: the first.
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
    """Draw samples of a run: one picture, an array file that `jaxgan evaluate --samples` reads, or a folder of PNGs.

    Args:
        workdir: The run's folder or address, or the name of a trained generator, such as r3gan.
        out: A file .png, .npy or .npz; any name without a suffix is a new folder; default: drawn.png in WORKDIR,
            or NAME.png.
        animate: A file .gif, .webp or .mp4 (by ffmpeg) of the way that --interpolate or --walk goes; without these of
            the same latents through training.
        count: Number of samples; default: 64, or 8 with ways between them.
        seed: What they follow from; the seed of `jaxgan evaluate` gives the samples that it measures.
        labels: The classes to draw, in turn, of a conditional run; all: each of them; data: as often as among the
            training images, as `jaxgan evaluate` does; default: data in arrays and folders, all in pictures.
        truncation: Factor on the latents, from 0 to 1: fewer bad samples, and less variety; default: that of the run.
        interpolate: Draw a row of ten images from each sample to the next, and from the last to the first.
        walk: The same in steps small enough for an animation.
        best: Draw from the checkpoint that --keep-best kept.
        step: Draw from the checkpoint of this step; default: the newest.
        last: Use the parameters of the last step, not the averaged ones.
        replica: Which replica of a run that has several; default: the first.
    """
    from jaxgan.runs.mirror import local_copy
    from jaxgan.runs.sample import sample_run

    by_name = labels in (("all",), ("data",))
    if not by_name and (wrong := [label for label in labels if not label.isdecimal()]):
        raise UserError(f"--labels: {wrong[0]!r} is not allowed, give numbers of classes, or all, or data alone")
    if (interpolate and walk) or (best and step is not None):
        flag, other = ("--walk", "--interpolate") if walk else ("--step", "--best")
        raise UserError(f"{flag}: is not allowed with {other}, leave out one of them")
    way = 10 if interpolate else 24 if walk else 0
    if animate is not None and out is None and not way and (best or step is not None):
        raise UserError("--animate: pictures through training are of no one checkpoint, leave out --best and --step")
    if animate is not None and out is None and not way:
        given = {"--count": count, "--seed": seed or None, "--labels": labels or None, "--truncation": truncation}
        if ignored := [flag for flag, value in (given | {"--last": last or None}).items() if value is not None]:
            raise UserError(
                f"{ignored[0]}: pictures through training are those that the run saved; add --walk or --out"
            )
    chosen = (labels[0] if by_name else [int(label) for label in labels]) if labels else None
    count = (8 if way else 64) if count is None else count
    how = {"count": count, "seed": seed, "labels": chosen, "truncation": truncation, "averaged": not last, "way": way}
    for path in sample_run(local_copy(workdir), out=out, animate=animate, best=best, step=step, replica=replica, **how):
        print(path)


def completion(
    shell: Annotated[Literal["bash", "zsh", "fish"], tyro.conf.Positional, tyro.conf.arg(metavar="SHELL")],
) -> None:
    """Print the script with which a shell completes commands, recipes, flags and files.

    Args:
        shell: Which shell: bash, zsh or fish.
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
