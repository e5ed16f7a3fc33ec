"""A toy run whose disk fills up at its third save, in a process of its own, as a failed save leaves threads behind.

Run as ``python -m tests.faults.full_disk bytes|inodes FOLDER``.
"""

import contextlib
import itertools
import sys
from pathlib import Path

from jaxgan import data
from jaxgan.config import Config, Run
from jaxgan.methods.vanilla_gan import VanillaGAN
from jaxgan.runs import checkpoints, launch
from tests.integration.toy_process import toy


def fill(folder):
    with (folder / "ballast").open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(4096)):
            pass


def use_up(folder):
    (folder / "ballast").mkdir()
    with contextlib.suppress(OSError):
        for number in range(10**6):
            (folder / "ballast" / str(number)).touch()


EXHAUST = {"bytes": fill, "inodes": use_up}


def main(what, folder):
    calls, save = itertools.count(1), checkpoints.save

    def save_on_full_disk(*args, **options):
        if next(calls) == 3:
            EXHAUST[what](folder)
        save(*args, **options)

    data.load, checkpoints.save = toy, save_on_full_disk
    method = VanillaGAN(latent_size=3, hidden_units=8, ema_decay=0.9)
    run = Run(workdir=folder / "run", epochs=3, batch_size=20, checkpoint_every=1, log_every=2, sample_epochs=(1, 2))
    launch.main(Config(method=method, run=run), ["--devices", "1"])


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
