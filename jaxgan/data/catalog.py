"""The catalog of data sets: their properties, known before any file is opened."""

import dataclasses
import importlib.resources
from collections.abc import Mapping
from importlib.resources.abc import Traversable

from jaxgan.errors import UserError, unknown_choice

IDX_FILES: Mapping[str, tuple[str, str]] = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
"""The image and label file of each split, with the same names in all data sets of the MNIST family."""


@dataclasses.dataclass(frozen=True)
class Spec:
    """The properties of a data set, which every source must match."""

    name: str  # the name of its TFDS builder
    version: str  # the version of that builder, which names the prepared directory
    title: str  # the name in figures and tables
    licence: str  # the terms of the images, in short
    class_names: tuple[str, ...]  # the name of each label
    # Number of images by split.
    examples: Mapping[str, int] = dataclasses.field(default_factory=lambda: {"train": 60_000, "test": 10_000})
    image_shape: tuple[int, int, int] = (28, 28, 1)  # height, width and channels
    # Checksums of the uncompressed IDX files, where known; other files are checked by shape only.
    md5: Mapping[str, str] = dataclasses.field(default_factory=dict)
    archive: Traversable | None = None  # the tar.xz of the four IDX files in the package, if any
    idx: bool = True  # whether this package prepares it, from IDX files; TFDS prepares the others
    label: str | None = "label"  # the feature with the label; None if there is none, so that every label is 0
    resized: bool = False  # whether images are cropped and resized to ``image_shape``
    stream_only: bool = False  # whether it is too large for arrays in memory
    parts: str | None = None  # the data set that it stacks or splits again; None if it is not derived
    held_out: int = 0  # number of the last training images of ``parts`` that become test images; 0 to stack


MNIST = Spec(
    name="mnist",
    version="3.0.1",
    title="MNIST handwritten digits",
    licence="CC BY-SA 3.0",
    class_names=tuple("0123456789"),
    md5={
        "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
        "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
        "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
        "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
    },
    archive=importlib.resources.files("jaxgan.data") / "archive" / "mnist-idx.tar.xz",
)

FASHION_MNIST = Spec(
    name="fashion_mnist",
    version="3.0.1",
    title="Fashion-MNIST articles of clothing",
    licence="MIT",
    class_names=(
        "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
    ),
    md5={
        "train-images-idx3-ubyte": "f4a8712d7a061bf5bd6d2ca38dc4d50a",
        "train-labels-idx1-ubyte": "9018921c3c673c538a1fc5bad174d6f9",
        "t10k-images-idx3-ubyte": "8181f5470baa50b63fa0f6fddb340f0a",
        "t10k-labels-idx1-ubyte": "15d484375f8d13e6eb1aabb0c3f46965",
    },
)  # fmt: skip

KMNIST = Spec(
    name="kmnist",
    version="3.0.1",
    title="Kuzushiji-MNIST cursive hiragana",
    licence="CC BY-SA 4.0",
    class_names=("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"),
)

CIFAR10 = Spec(
    name="cifar10",
    version="3.0.2",
    title="CIFAR-10 photographs of animals and vehicles",
    licence="not stated",
    class_names=("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
    examples={"train": 50_000, "test": 10_000},
    image_shape=(32, 32, 3),
    idx=False,
)

CELEB_A = Spec(
    name="celeb_a",
    version="2.1.0",
    title="CelebA faces of celebrities",
    licence="non-commercial research",
    class_names=("face",),  # faces have forty attributes but no class
    examples={"train": 162_770, "validation": 19_867, "test": 19_962},
    image_shape=(64, 64, 3),
    idx=False,
    label=None,
    resized=True,
    stream_only=True,
)

STACKED_MNIST = Spec(
    name="stacked_mnist",
    version=MNIST.version,
    title="Stacked MNIST, three digits as red, green and blue",
    licence=MNIST.licence,
    class_names=tuple(f"{number:03d}" for number in range(1000)),
    image_shape=(28, 28, 3),
    parts="mnist",
)

MNIST_HELD_OUT = Spec(
    name="mnist_held_out",
    version=MNIST.version,
    title="MNIST with the last 10,000 training images as test images",
    licence=MNIST.licence,
    class_names=MNIST.class_names,
    examples={"train": 50_000, "test": 10_000},
    parts="mnist",
    held_out=10_000,
)  # for tuning without the test images

ARRAYS = "dataset="  # the name of arrays that a program passes to a run as this argument

CATALOG: Mapping[str, Spec] = {
    spec.name: spec for spec in (MNIST, FASHION_MNIST, KMNIST, CIFAR10, CELEB_A, STACKED_MNIST, MNIST_HELD_OUT)
}


def names() -> tuple[str, ...]:
    """Returns the names of all data sets."""
    return tuple(CATALOG)


def find(name: str, *, image_size: int | None = None) -> Spec:
    """Looks up a data set by name.

    Args:
      name: a name in the catalog; with an image size, also any image data set that TFDS has prepared, whose images
        count as color images without classes.
      image_size: height and width to crop and resize streamed images to; None to keep theirs.

    Returns:
      Its properties. Outside of the catalog, the version and the number of examples are still unknown.

    Raises:
      UserError: if the name is not in the catalog and no image size is given.
    """
    if name == ARRAYS:
        raise UserError(
            "--data: the images of this run are arrays of a program; in Python, pass them again as dataset=..."
        )
    if name not in CATALOG and image_size is None:
        raise UserError(f"{unknown_choice('--data', name, CATALOG)}; there is no such path either")
    spec = CATALOG.get(name) or Spec(name, "", name, "", class_names=("image",), examples={}, idx=False, label=None)
    if image_size is None:
        return spec
    channels = spec.image_shape[2] if name in CATALOG else 3
    shape = (image_size, image_size, channels)
    return dataclasses.replace(spec, image_shape=shape, resized=True, stream_only=True)


def owner_of(md5: str) -> Spec | None:
    """Returns the data set with an uncompressed IDX file of this checksum, if known."""
    return next((spec for spec in CATALOG.values() if md5 in spec.md5.values()), None)
