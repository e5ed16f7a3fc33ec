"""Autoencoders compress digits to 32 numbers, beside PCA, and are not generative models.

Run:       python experiments/autoencoder.py        (--help lists every flag)
Time:      40 s on two CPU cores, 10 epochs; 15 s with --encoder linear; half a minute per epoch with --encoder conv
Expect:    a squared error per pixel of about 0.009 on held-out digits; PCA with 32 components has 0.0168. With
           --encoder linear the error approaches PCA's from above
Figures:   training (with PCA's error), reconstructions, progress, samples; with --latent-size 2 also the latent plane.
           decoded_noise compares two priors: codes from N(0, I) decode to scribbles, codes from a Gaussian fitted to
           the codes of real images decode to blends of digits
Try:       --loss bernoulli; --latent-size 2; --encoder linear
Read:      jaxgan/methods/autoencoder.py, jaxgan/methods/losses.py, jaxgan/methods/optimization.py
Writes:    runs/autoencoder/ with config.json, metrics.jsonl, timings.jsonl, tensorboard/, checkpoints/, samples/ and
           figures/
"""

from jaxgan.recipes import RECIPES
from jaxgan.runs.launch import main

CONFIG = RECIPES["autoencoder"].config

if __name__ == "__main__":
    main(CONFIG)
