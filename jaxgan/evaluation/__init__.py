"""How good samples are: a pinned feature network, metrics as pure functions, and the protocol that fixes the rest.

It reads arrays, and knows no method and no run: those are brought to it by :mod:`jaxgan.runtime.assessment`.
"""
