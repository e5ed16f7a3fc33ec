"""The Wasserstein GAN: a critic without a sigmoid estimates the distance between generated and real digits.

Run:       python experiments/wgan.py               (--help lists every flag)
           python experiments/wgan.py --constraint clip --workdir runs/wgan_clip
Time:      15 min on two CPU cores, 15 epochs at 15 critic steps per second, one generator step per five critic steps
Expect:    digits after four epochs, all ten classes at the end. The estimate falls steadily, from 8.4 in the first
           epoch to 3.2, and the penalty from 1.2 to 0.45
Quality:   experiments/gallery/quality/report.md
Figures:   training (estimate and losses), progress (the estimate beside samples from the same latents), samples
Estimate:  the penalty allows slopes above 1, so the estimate is up to a factor 1 + W / (2 lambda) too large. It shows
           progress, on the scale of images in [-1, 1]
Read:      jaxgan/methods/wgan.py, jaxgan/methods/gan.py, jaxgan/methods/penalties.py
Writes:    runs/wgan/ with config.json, metrics.jsonl, timings.jsonl, tensorboard/, checkpoints/, samples/ and figures/
"""

from jaxgan.recipes import RECIPES
from jaxgan.runs.launch import main

CONFIG = RECIPES["wgan"].config

if __name__ == "__main__":
    main(CONFIG)
