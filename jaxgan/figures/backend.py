"""Imports matplotlib even if ``MPLBACKEND`` is invalid: Jupyter passes on a backend that the environment may lack.

Figures of the package need no backend, since they open no window. A valid backend stays selected, for other figures.
"""

import contextlib
import os
import sys

if "matplotlib" not in sys.modules and "MPLBACKEND" in os.environ:
    backend = os.environ.pop("MPLBACKEND")
    try:
        import matplotlib
    finally:
        os.environ["MPLBACKEND"] = backend
    with contextlib.suppress(ValueError):
        matplotlib.rcParams["backend"] = backend
