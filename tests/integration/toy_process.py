"""A recipe as one process of several runs it, on data of its own: small, and here without preparing anything."""

import sys
from functools import partial

import numpy as np

from jaxgan import data
from jaxgan.config import Config, VanillaGAN
from jaxgan.data import Dataset, Stream
from jaxgan.runtime import feeding, launch, loop, meeting


def toy(name, split="train", data_dir=None):
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
    feeding.STEPS_A_CHUNK = 2
    meeting.MEETING_SECONDS, meeting.SILENT_SECONDS = 20, 10  # nobody here has to wait for a slow network
    # Process 0 would take an epoch at a time, and the others, as if they were slow, a step: they must agree.
    leads = "--process-index" not in argv or argv[argv.index("--process-index") + 1] == "0"
    launch.train = partial(loop.train, seconds_a_call=100.0 if leads else 0.0)
    launch.main(Config(method=VanillaGAN(latent_size=3, hidden_units=8, ema_decay=0.9)), argv)


if __name__ == "__main__":
    main(sys.argv[1:])
