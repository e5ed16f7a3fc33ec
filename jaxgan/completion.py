"""Shell completion: tyro's script, plus the flags of every recipe and file names."""

import contextlib
import dataclasses
import io
from typing import Any, Literal

import tyro

from jaxgan.config import Run
from jaxgan.recipes import RECIPES

Shell = Literal["bash", "zsh", "fish"]

# tyro completes no paths of positional arguments. Where it offers nothing, or only flags, these lines add file names.
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
    """Makes the completion script of a program.

    Args:
      app: the commands of the program; ``train`` is replaced by one with the flags of each recipe.
      shell: the shell that runs the script.

    Returns:
      The script.
    """
    recipes = tyro.extras.SubcommandApp()
    for name, recipe in RECIPES.items():
        config = recipe.config  # the flags are those of jaxgan.runs.flags
        fields = [("method", type(config.method), config.method), ("run", Run, config.run)]
        flags: Any = dataclasses.make_dataclass("Flags", fields)
        recipes.command(flags, name=name, help=recipe.about)
    app.command(recipes, name="train", help="Train a recipe.")
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
        app.cli(prog="jaxgan", args=["--tyro-print-completion", shell], config=(tyro.conf.OmitArgPrefixes,))
    return printed.getvalue() + FILES[shell]
