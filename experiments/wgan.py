"""The Wasserstein GAN: a critic without a sigmoid measures how far generated digits are from real ones.

Run:       python experiments/wgan.py               (--help lists every flag)
"""

from pathlib import Path

from jaxgan.config import WGAN, Config, Run
from jaxgan.runtime.launch import main

CONFIG = Config(
    method=WGAN(), run=Run(workdir=Path("runs/wgan"), epochs=15, checkpoint_every=1, sample_epochs=(1, 2, 4, 8, 15))
)

if __name__ == "__main__":
    main(CONFIG)
