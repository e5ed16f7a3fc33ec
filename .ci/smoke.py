"""Trains, loads and samples with the package that is installed: not with the clone, whose path is the argument."""

import sys
from pathlib import Path

import jaxgan

clone, installed = Path(sys.argv[1]).resolve(), Path(jaxgan.__file__).resolve()
assert clone not in installed.parents, installed
config = jaxgan.Config(jaxgan.VAE(hidden_units=32), jaxgan.Run(workdir=Path("run"), epochs=1, batch_size=600))
folder = jaxgan.run(config)
images = jaxgan.load_run(folder).sample(4)
assert images.shape == (4, 28, 28, 1), images.shape
