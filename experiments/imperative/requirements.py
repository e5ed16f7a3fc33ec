"""Imports PyTorch, or exits with the command that installs it."""

import sys

try:
    import torch
except ImportError:
    print("error: PyTorch is not installed; run python -m pip install -e '.[imperative]'", file=sys.stderr)
    raise SystemExit(2) from None

__all__ = ["torch"]
