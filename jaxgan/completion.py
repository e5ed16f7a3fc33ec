"""Shell completion: tyro's script for a shell, with the flags of every recipe and with files."""

import contextlib
import dataclasses
import io
from typing import Any, Literal

import tyro

from jaxgan.config import Run
from jaxgan.recipes import RECIPES

Shell = Literal["bash", "zsh", "fish"]

# tyro completes no path of an argument without a flag: where it has nothing to offer, or no more than flags, files are.
FILES: dict[Shell, str] = {
    "bash": """\
_jaxgan() {
  _tyro_jaxgan
  [[ ${COMPREPLY[0]} ]] || { compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$2"); }
}
complete -F _jaxgan jaxgan
""",
    "zsh": "(( $? )) && _files\n",
    "fish": "complete --command jaxgan --condition 'test (count (commandline -opc)) -gt 1' --force-files\n",
}


def script(app: tyro.extras.SubcommandApp, shell: Shell) -> str:
    """Makes the script that completes a program in a shell.

    Args:
      app: the commands of the program; ``train`` is replaced by one with the flags of each recipe.
      shell: which.

    Returns:
      The script.
    """
    recipes = tyro.extras.SubcommandApp()
    for name, recipe in RECIPES.items():
        of = recipe.config  # the flags are as jaxgan.runs.flags has them
        fields = [("method", type(of.method), of.method), ("run", Run, of.run)]
        flags: Any = dataclasses.make_dataclass("Flags", fields)
        recipes.command(flags, name=name, help=recipe.about)
    app.command(recipes, name="train", help="Train a recipe.")
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
        app.cli(prog="jaxgan", args=["--tyro-print-completion", shell], config=(tyro.conf.OmitArgPrefixes,))
    return printed.getvalue() + FILES[shell]
