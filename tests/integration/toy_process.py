"""A recipe as one process of several runs it, on data of its own: small, and here without preparing anything."""

import sys
from functools import partial

import numpy as np

from jaxgan import data
from jaxgan.config import Config
from jaxgan.data import Dataset, Stream
from jaxgan.methods.vanilla_gan import VanillaGAN
from jaxgan.runs import launch
from jaxgan.runs.train import train
from jaxgan.runtime import distributed, inputs


def toy(name, split="train", data_dir=None, image_size=None):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (70, 6, 5, 1), dtype=np.uint8)
    return Dataset("toy", images, rng.integers(0, 10, 70).astype(np.int32), tuple("0123456789"))


def toy_stream(name, split="train", data_dir=None, image_size=None):
    whole = toy(name)

    def read(rows):
        return whole.images[rows], whole.labels[rows]

    return Stream("toy", whole.size, whole.image_shape, whole.class_names, read)


def main(argv):
    data.load, data.stream = toy, toy_stream
    inputs.STEPS_PER_CHUNK = 2
    distributed.START_SECONDS, distributed.HEARTBEAT_SECONDS = 20, 10  # nobody here has to wait for a slow network
    # Process 0 would take an epoch at a time, and the others, as if they were slow, a step: they must agree.
    main = "--process-index" not in argv or argv[argv.index("--process-index") + 1] == "0"
    launch.train = partial(train, seconds_per_call=100.0 if main else 0.0)
    launch.main(Config(method=VanillaGAN(latent_size=3, hidden_units=8, ema_decay=0.9)), argv)


if __name__ == "__main__":
    main(sys.argv[1:])
