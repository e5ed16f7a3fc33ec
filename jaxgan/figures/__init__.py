"""Every picture of the project, as functions from arrays to matplotlib figures, in one look."""

from jaxgan.figures.curves import PANELS, Panel, training_curves
from jaxgan.figures.images import class_samples, progression, sample_grid, sample_rows, tile
from jaxgan.figures.maps import heat_maps, latent_plane, number_maps
from jaxgan.figures.progress import progress
from jaxgan.figures.quality import quality
from jaxgan.figures.speeds import scaling, speeds
from jaxgan.figures.style import DPI, STYLE, WIDTH, save
from jaxgan.figures.trajectories import Pair, trajectories

__all__ = [
    "DPI",
    "PANELS",
    "STYLE",
    "WIDTH",
    "Pair",
    "Panel",
    "class_samples",
    "heat_maps",
    "latent_plane",
    "number_maps",
    "progress",
    "progression",
    "quality",
    "sample_grid",
    "sample_rows",
    "save",
    "scaling",
    "speeds",
    "tile",
    "training_curves",
    "trajectories",
]
