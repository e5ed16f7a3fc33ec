"""The style of all figures, and their output to files."""

import io
import re
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib import rcsetup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

WIDTH = 8.0  # inches; at 150 dots per inch a README shows it without scaling
DPI = 150
# Starts from matplotlib's defaults: a user's matplotlibrc may flip images or require LaTeX.
STYLE: dict[Any, Any] = {name: value for name, value in matplotlib.rcParamsDefault.items() if name != "backend"} | {
    "font.family": "serif",
    "font.serif": ["STIXGeneral", "DejaVu Serif"],
    "mathtext.fontset": "stix",
    "font.size": 11,
    "axes.titlesize": 12,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.prop_cycle": rcsetup.cycler(
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


def save(figure: Figure, path: Path, **metadata: str) -> Path:
    """Writes a figure atomically, without the version of matplotlib, so that equal figures give equal files."""
    part = path.with_name(f".{path.name}")
    try:
        with matplotlib.rc_context(STYLE):  # fonts are looked up here
            figure.savefig(part, dpi=DPI, metadata={"Software": None, **metadata})
        return part.replace(path)
    except OSError:
        part.unlink(missing_ok=True)
        raise


def to_svg(figure: Figure, *, prefix: str) -> str:
    """Draws a figure as inline SVG for a page with a light or dark theme.

    Args:
      figure: any figure without images.
      prefix: the prefix of its identifiers, which keeps them apart from other figures in the page.

    Returns:
      An ``svg`` element without background. Black becomes the text color of the page, and each other color the CSS
      variable of that color, such as ``--c1f4e79``, if the page defines it.
    """
    content = io.StringIO()
    metadata = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    with matplotlib.rc_context({**STYLE, "svg.hashsalt": prefix}):
        figure.savefig(content, format="svg", transparent=True, metadata=metadata)
    text = content.getvalue()
    text = re.sub(r' xmlns(:\w+)?="[^"]*"', "", text[text.index("<svg") :])
    text = re.sub(r'\b(id="|href="#|url\(#)', rf"\g<1>{prefix}", text)
    text = re.sub(r"\b(fill|stroke): #000000", r"\1: currentColor", text)
    return re.sub(r"\b(fill|stroke): #(\w{6})", r"\1: var(--c\2, #\2)", text)


def bare(axes: Axes) -> None:
    """Removes ticks, grid and frame from axes that show an image."""
    axes.set(xticks=[], yticks=[])
    axes.grid(False)
    axes.spines[:].set_visible(False)
