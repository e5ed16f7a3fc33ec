"""What the parts share: recipes at a size, and the data they train on."""

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
    """How large everything is, and where the data lie."""

    small: bool = False
    data_dir: Path | None = None

    def images(self, *, most: int | None = None) -> Dataset:
        """The training images, or the first ``most``."""
        dataset = data.load("mnist", data_dir=self.data_dir)
        most = SMALL_IMAGES if self.small else most
        return dataset._replace(images=dataset.images[:most], labels=dataset.labels[:most])

    def recipe(self, name: str, *, run: dict[str, Any] | None = None, **method: Any) -> Config:
        """A recipe, with some fields changed."""
        config = RECIPES[name]
        if self.small:
            method |= {key: value for key, value in SMALL.items() if hasattr(config.method, key)}
        return Config(dataclasses.replace(config.method, **method), dataclasses.replace(config.run, **(run or {})))
