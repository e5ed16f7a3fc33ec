"""A GAN past the chapter: a relativistic loss on pairs of images, two gradient penalties, and no normalization.

Run:       python experiments/r3gan.py              (--help lists every flag)
Time:      21 min on two CPU cores, 24 epochs at 36 steps per second
Expect:    digits of the requested classes after two epochs. The discriminator gives the real image of a pair a
           probability between 0.54 and 0.57 from then on. If this stays at 0.50 and the penalties vanish while samples
           are still bad, the discriminator has lost its gradients, as may happen with learning rates of 2e-3
Quality:   experiments/gallery/quality/report.md
Method:    the DCGAN's networks with biases and without batch norm. The loss compares each generated image with a real
           one. R1 and R2 are computed in every fourth step with four times their weight. Batches are small, the
           generator is averaged, and the learning rates follow a cosine decay to 0. Both networks see the class: a
           continuous generator maps a connected prior to connected images, yet classes are disjoint. With a small
           weight, the discriminator also learns to classify real images (Odena et al. 2017). After Huang et al., The
           GAN is dead; long live the GAN! A Modern GAN Baseline, 2024, whose networks are residual and larger
Figures:   training (losses, penalties, probability of the real image of a pair), progress, samples
Try:       --no-conditional --classification-weight 0 --prior mixture to replace labels by ten clusters of latents;
           --truncation 0.95 for fewer bad samples and less variety; one part removed, as in experiments/studies/
           ablation.py: --loss non_saturating, --r2-weight 0, --ema-decay 0, --generator-norm batch, --decay-steps 0,
           --classification-weight 0
Read:      jaxgan/methods/dcgan.py, jaxgan/methods/losses.py, jaxgan/methods/penalties.py
Writes:    runs/r3gan/ with config.json, metrics.jsonl, timings.jsonl, tensorboard/, checkpoints/, samples/ and figures/
"""

from jaxgan.recipes import RECIPES
from jaxgan.runs.launch import main

CONFIG = RECIPES["r3gan"].config

if __name__ == "__main__":
    main(CONFIG)
