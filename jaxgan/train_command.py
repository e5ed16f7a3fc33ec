"""The ``jaxgan train`` command: trains a recipe by name, with the flags of its script."""

from collections.abc import Sequence
from typing import Annotated

import tyro
from rich import box
from rich.console import Console
from rich.table import Table

from jaxgan.errors import unknown_choice


def train(recipe: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="RECIPE")] = None) -> None:
    """Train a recipe, or list the recipes if no name is given; `jaxgan train RECIPE --help` lists the flags.

    Args:
        recipe: Name of the recipe.
    """
    if recipe is not None:
        return train_recipe(recipe, [])
    from jaxgan.recipes import RECIPES

    table = Table("recipe", "what it trains", box=box.SIMPLE)
    for name, entry in RECIPES.items():
        table.add_row(name, entry.about)
    Console().print(table)
    print("jaxgan train RECIPE --help lists the flags.")


def train_recipe(name: str, flags: Sequence[str]) -> None:
    """Trains a recipe with command-line flags.

    Raises:
      UserError: if there is no such recipe.
      SystemExit: as :func:`jaxgan.runs.launch.main`.
    """
    from jaxgan.recipes import RECIPES
    from jaxgan.runs.launch import main

    recipe = RECIPES.get(name.replace("-", "_"))  # shell completion writes hyphens
    if recipe is None:
        raise unknown_choice("RECIPE", name, RECIPES)
    main(recipe.config, flags, program=f"jaxgan train {name}", finish=recipe.finish)
