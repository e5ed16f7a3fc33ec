"""PyTorch, or what to install where it is missing."""

import sys

try:
    import torch
except ImportError:
    print("error: PyTorch is not installed; run python -m pip install -e '.[imperative]'", file=sys.stderr)
    raise SystemExit(2) from None

__all__ = ["torch"]
