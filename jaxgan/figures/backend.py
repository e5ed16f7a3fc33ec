"""Imports matplotlib whatever ``MPLBACKEND`` says: Jupyter hands on a backend that the environment may lack.

Figures here are made without a window, so no backend is needed. One that there is stays chosen, for the user's own.
"""

import contextlib
import os
import sys

if "matplotlib" not in sys.modules and "MPLBACKEND" in os.environ:
    named = os.environ.pop("MPLBACKEND")
    try:
        import matplotlib
    finally:
        os.environ["MPLBACKEND"] = named
    with contextlib.suppress(ValueError):
        matplotlib.rcParams["backend"] = named
