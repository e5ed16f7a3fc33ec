"""Shared by the parts: recipes at full or small size, and their data."""

import dataclasses
from pathlib import Path
from typing import Any

from studies import quality

from jaxgan import data
from jaxgan.config import Config
from jaxgan.data import Dataset

RECIPES = quality.RECIPES
SMALL = {"width": 2, "hidden_units": 8, "latent_size": 12}
SMALL_IMAGES = 640


@dataclasses.dataclass(frozen=True)
class Setting:
    """The sizes, and the folder of the data sets."""

    small: bool = False
    data_dir: Path | None = None

    def images(self, *, most: int | None = None) -> Dataset:
        """Loads the training images, or the first ``most``."""
        dataset = data.load("mnist", data_dir=self.data_dir)
        most = SMALL_IMAGES if self.small else most
        return dataset._replace(images=dataset.images[:most], labels=dataset.labels[:most])

    def recipe(self, name: str, *, run: dict[str, Any] | None = None, **method: Any) -> Config:
        """Returns the config of a recipe with changed fields."""
        config = RECIPES[name]
        if self.small:
            method |= {key: value for key, value in SMALL.items() if hasattr(config.method, key)}
        return Config(dataclasses.replace(config.method, **method), dataclasses.replace(config.run, **(run or {})))
