"""The figures of the package: functions from arrays to Matplotlib figures in one style."""

from jaxgan.figures import backend  # noqa: F401 (before any import of matplotlib)
from jaxgan.figures.curves import (
    PANELS,
    Panel,
    by_epoch,
    compared_panels,
    legend,
    metrics_of,
    panels_of,
    single_panel,
    training_curves,
)
from jaxgan.figures.images import class_samples, progression, sample_grid, sample_rows
from jaxgan.figures.maps import heat_maps, latent_plane, number_maps
from jaxgan.figures.runs import comparison, progress
from jaxgan.figures.style import DPI, STYLE, WIDTH, save, to_svg
from jaxgan.tiles import tile

__all__ = [
    "DPI",
    "PANELS",
    "STYLE",
    "WIDTH",
    "Panel",
    "by_epoch",
    "class_samples",
    "compared_panels",
    "comparison",
    "heat_maps",
    "latent_plane",
    "legend",
    "metrics_of",
    "number_maps",
    "panels_of",
    "progress",
    "progression",
    "sample_grid",
    "sample_rows",
    "save",
    "single_panel",
    "tile",
    "to_svg",
    "training_curves",
]
