"""The deep convolutional GAN: a transposed-convolution generator and a strided discriminator, with batch norm.

Run:       python experiments/dcgan.py              (--help lists every flag)
Time:      13 min on two CPU cores, 15 epochs at 19 steps per second
Expect:    recognizable digits after four epochs, all ten classes at the end. The discriminator stays ahead: its loss
           is near 0.22 nats and the generator's loss near 3.4, with D(x) 0.91 and D(G(z)) 0.09
Quality:   experiments/gallery/quality/report.md
Figures:   training (losses and probabilities), progress (losses beside samples from the same latents), samples;
           with --conditional also classes (one row per class)
Try:       --conditional for class-conditional samples; --loss minimax, least_squares, hinge or relativistic;
           --r1-weight, --r2-weight, --dragan-weight or --spectral-norm, each with --discriminator-norm none, since
           batch norm makes the output independent of a kernel's scale and couples the images of a batch;
           --ema-decay 0.999 for samples from an averaged generator; --beta1 0.5 --initialization dcgan as in the
           paper
Read:      jaxgan/methods/dcgan.py, jaxgan/methods/gan.py, jaxgan/methods/losses.py
Writes:    runs/dcgan/ with config.json, metrics.jsonl, timings.jsonl, tensorboard/, checkpoints/, samples/ and figures/
"""

from jaxgan.recipes import RECIPES
from jaxgan.runs.launch import main

CONFIG = RECIPES["dcgan"].config

if __name__ == "__main__":
    main(CONFIG)
