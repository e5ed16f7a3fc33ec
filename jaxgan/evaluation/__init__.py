"""Metrics of samples: a pinned feature network, metrics as pure functions, and the protocol that fixes the rest.

All inputs are arrays. :mod:`jaxgan.runs.evaluate` applies this package to runs.
"""
