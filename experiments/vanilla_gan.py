"""The chapter's first GAN: two fully connected networks, 81,284 and 78,501 parameters, learn to draw MNIST digits.

Run:       python experiments/vanilla_gan.py        (--help lists every flag)
Time:      1 min 45 s on two CPU cores, 100 epochs at 1,000 steps a second
Expect:    the generator's loss near 0.81 nats and the discriminator's near 1.32; D(x) falls from 0.88 in the first
           epoch to 0.53 while D(G(z)) rises to 0.47; digits of all ten classes, with specks of noise around them
Figures:   training (losses and probabilities), progress (losses beside the same latents through training), samples
Writes:    runs/vanilla_gan/ with config.json, metrics.jsonl, timings.jsonl, tensorboard/, checkpoints/, samples/ and
           figures/
"""

from pathlib import Path

from jaxgan.config import Config, Run, VanillaGAN
from jaxgan.runtime.launch import main

CONFIG = Config(method=VanillaGAN(), run=Run(workdir=Path("runs/vanilla_gan")))

if __name__ == "__main__":
    main(CONFIG)
