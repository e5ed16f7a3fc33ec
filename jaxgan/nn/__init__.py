"""Layers and networks as Flax modules, without any training code."""
