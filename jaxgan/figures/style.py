"""The one look of every picture, and how a picture is written."""

from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

WIDTH = 8.0  # inches; a README shows 8 inches at 150 dots an inch without scaling
DPI = 150
STYLE = {
    "font.family": "serif",
    "font.serif": ["STIXGeneral", "DejaVu Serif"],
    "mathtext.fontset": "stix",
    "font.size": 11,
    "axes.titlesize": 12,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.prop_cycle": matplotlib.cycler(
        color=["#1f4e79", "#c0392b", "#7f8c8d", "#d68910", "#27694b", "#7d3c98", "#17a2b8"]
    ),
    "axes.grid": True,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.3,
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
    "savefig.dpi": DPI,
}


def save(figure: Figure, path: Path) -> Path:
    """Writes a figure as PNG, without the date and version that would make equal pictures differ."""
    with matplotlib.rc_context(STYLE):  # fonts are looked up only now
        figure.savefig(path, dpi=DPI, metadata={"Software": None})
    return path


def bare(axes: Axes) -> None:
    """Takes the ticks, the grid and the frame from axes that hold an image."""
    axes.set(xticks=[], yticks=[])
    axes.grid(False)
    axes.spines[:].set_visible(False)
