"""The twins for several processes: those for one, with patches applied."""

import difflib
import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from comparing.designs import EXPERIMENTS

IMPERATIVE = EXPERIMENTS / "imperative"

# The changes to the twins, in the order in which they are applied; the second is of no use without batch statistics.
PATCHES = {
    "vanilla_gan": ("training",),
    "dcgan": ("training", "batch_norm"),
    "wgan": ("training", "batch_norm"),
    "vae": ("training",),
}


def apply(patches: Sequence[str], folder: Path) -> Path:
    """Makes the twins that train on several processes.

    Args:
      patches: names of files in `experiments/imperative/distributed/`.
      folder: an empty folder.

    Returns:
      The folder, with the package of twins in it.

    Raises:
      RuntimeError: if a patch does not fit the twins as they are, with what git says.
    """
    shutil.copytree(IMPERATIVE, folder / "imperative", ignore=shutil.ignore_patterns("__pycache__", "distributed"))
    alone = os.environ | {"GIT_CEILING_DIRECTORIES": str(folder.parent)}  # the folder is in no repository
    for name in patches:
        patch = IMPERATIVE / "distributed" / f"{name}.patch"
        command = ["git", "apply", str(patch)]
        done = subprocess.run(command, cwd=folder, env=alone, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{patch.name} does not fit the twins: {done.stderr}")
    return folder


def changes(patched: Path) -> str:
    """Compares the twins for several processes with those for one, as a unified diff."""
    text = ""
    for path in sorted(IMPERATIVE.glob("*.py")):
        before, after = (folder.joinpath(path.name).read_text() for folder in (IMPERATIVE, patched / "imperative"))
        names = (f"a/{path.name}", f"b/{path.name}")
        text += "".join(difflib.unified_diff(before.splitlines(True), after.splitlines(True), *names))
    return text


def size(diff: str) -> dict[str, int]:
    """Counts the lines of code that a diff adds and removes, blank lines, comments and docstrings aside.

    Args:
      diff: a unified diff.

    Returns:
      Lines ``added`` and ``removed``; a changed line is one of each.
    """
    counted = [line for line in diff.splitlines() if re.match(r'[+-](?!--|\+\+)\s*(?!"""|#)\S', line)]
    added = sum(line.startswith("+") for line in counted)
    return {"added": added, "removed": len(counted) - added}
