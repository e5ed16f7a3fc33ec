"""Metrics of samples: a pinned feature network, metrics as pure functions, and the protocol that fixes the rest.

The input is arrays. :mod:`jaxgan.runs.evaluate` applies this package to runs.
"""
