"""What a method has to show of itself, as arrays: whoever draws knows the form, not the method."""

from collections.abc import Mapping
from typing import NamedTuple

from jaxtyping import Array, Float, Int


class Rows(NamedTuple):
    """Rows of images to be compared from one to the next, equally many in each."""

    title: str
    rows: Mapping[str, Float[Array, "columns height width channels"]]  # in [-1, 1], by the label of the row


class Sheet(NamedTuple):
    """A rectangle of images whose place means something, row by row."""

    title: str
    images: Float[Array, "count height width channels"]  # in [-1, 1]
    columns: int


class Plane(NamedTuple):
    """Points in the plane of two latents, by class."""

    title: str
    points: Float[Array, "n 2"]
    labels: Int[Array, " n"]


Exhibit = Rows | Sheet | Plane
