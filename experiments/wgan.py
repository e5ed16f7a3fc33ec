"""The Wasserstein GAN: a critic without a sigmoid estimates how far generated digits are from real ones.

Run:       python experiments/wgan.py               (--help lists every flag)
           python experiments/wgan.py --constraint clip --workdir runs/wgan_clip
Time:      12 min on two CPU cores, 15 epochs of critic steps at 19 per second, a generator step after every fifth
Expect:    digits from the fourth epoch on, of all ten classes at the end. The estimate falls all the way, from 8.4 in
           the first epoch to 3.2, and the penalty from 1.2 to 0.45
Quality:   experiments/gallery/quality/report.md
Figures:   training (estimate and losses), progress (the estimate beside the same latents through training), samples
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
