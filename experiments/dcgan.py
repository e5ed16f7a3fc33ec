"""The deep convolutional GAN: transposed convolutions draw, strided ones judge, batch normalization between.

Run:       python experiments/dcgan.py              (--help lists every flag)
"""

from pathlib import Path

from jaxgan.config import DCGAN, Config, Run
from jaxgan.runtime.launch import main

CONFIG = Config(
    method=DCGAN(), run=Run(workdir=Path("runs/dcgan"), epochs=15, checkpoint_every=1, sample_epochs=(1, 2, 4, 8, 15))
)

if __name__ == "__main__":
    main(CONFIG)
