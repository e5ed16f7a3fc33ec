"""The chapter's first GAN: two fully connected networks learn to draw MNIST digits.

Run:       python experiments/vanilla_gan.py
"""

from pathlib import Path

from jaxgan.config import Config, Run, VanillaGAN
from jaxgan.runtime.launch import main

CONFIG = Config(method=VanillaGAN(), run=Run(workdir=Path("runs/vanilla_gan")))

if __name__ == "__main__":
    main(CONFIG)
