"""CIFAR-10 and CelebA as TFDS prepares them, with a few drawn images in place of the photographs."""

import dataclasses
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image
from tensorflow_datasets.datasets.celeb_a import celeb_a_dataset_builder as celeb_a

from jaxgan.data.catalog import CELEB_A, CIFAR10

COUNTS = {"train": 70, "test": 20}
SMALL = {spec.name: dataclasses.replace(spec, examples=COUNTS) for spec in (CIFAR10, CELEB_A)}


def cifar10(number: int) -> dict:
    pixels = np.random.default_rng(number).integers(0, 256, (32, 32, 3), np.uint8)
    return {"id": f"{number}", "image": encoded(pixels, "png"), "label": number % 10}


def face(number: int) -> dict:
    """Grey, and red at the top and the bottom, where no square around the middle reaches; a JPEG's blocks end there."""
    pixels = np.full((218, 178, 3), 2 * number, np.uint8)
    pixels[:16] = pixels[208:] = (255, 0, 0)
    named = {"landmarks": celeb_a.LANDMARK_HEADINGS, "attributes": celeb_a.ATTR_HEADINGS}
    named["identity"] = celeb_a.IDENTITY_HEADINGS
    return {"image": encoded(pixels, "jpeg"), **{key: dict.fromkeys(names, 1) for key, names in named.items()}}


def encoded(pixels: np.ndarray, kind: str) -> io.BytesIO:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind)
    file.seek(0)
    return file


def prepare_other(folder: Path, images: list[np.ndarray], *, version="1.0.0", config=None) -> None:
    """Has TFDS prepare a data set ``other`` of grey images of any sizes."""

    class Other(tfds.core.GeneratorBasedBuilder, skip_registration=True):
        VERSION = tfds.core.Version(version)
        BUILDER_CONFIGS = [tfds.core.BuilderConfig(name=config)] if config else []

        def _info(self):
            kind = tfds.features.Image(shape=(None, None, 1), dtype=images[0].dtype.type, encoding_format="png")
            return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict({"image": kind}))

        def _split_generators(self, dl_manager):
            return {"train": self._generate_examples()}

        def _generate_examples(self):
            return ((str(number), {"image": encoded(image, "png")}) for number, image in enumerate(images))

    tfds.disable_progress_bar()
    Other(data_dir=folder, file_format="array_record").download_and_prepare()


def prepare(folder: Path) -> Path:
    """Has the stock builders write their directories, from other rows than those they would download."""
    tfds.disable_progress_bar()
    for name, row in {"cifar10": cifar10, "celeb_a": face}.items():
        drawing(tfds.builder_cls(name), row)(data_dir=folder, file_format="array_record").download_and_prepare()
    return folder


def drawing(stock: type, row: Callable[[int], dict]) -> type:
    class Drawn(stock, skip_registration=True):
        __module__ = stock.__module__
        name = stock.name

        def _split_generators(self, dl_manager):
            return {split: ((str(number), row(number)) for number in range(count)) for split, count in COUNTS.items()}

    return Drawn
