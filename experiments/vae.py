"""The variational autoencoder, 784-400-20-400-784: a prior on the latents makes its decoder a generator of digits.

Run:       python experiments/vae.py        (--help lists every flag)
Time:      30 s on two CPU cores, 10 epochs at 190 steps per second
Expect:    a negative ELBO of about 104 nats per image on held-out digits, of which 25 are the KL divergence
Targets:   soft: each pixel is a Bernoulli probability, without the normalizer of the continuous Bernoulli.
           --targets binarized samples 0 or 1 for each pixel in every step
Averaging: evaluations and samples use an exponential moving average of the parameters; --ema-decay 0 turns it off
Figures:   training (both terms), reconstructions, samples, progress, interpolation; with --latent-size 2 also the
           latent plane by class, and the decoded manifold
Try:       --encoder conv; --beta 4; --latent-size 2; --conditional for class-conditional samples;
           --targets binarized --importance-samples 5 for the importance-weighted bound
Read:      jaxgan/methods/vae.py, jaxgan/methods/evidence.py, jaxgan/methods/losses.py
Writes:    runs/vae/ with config.json, metrics.jsonl, timings.jsonl, tensorboard/, checkpoints/, samples/ and figures/
"""

from jaxgan.recipes import RECIPES
from jaxgan.runs.launch import main

CONFIG = RECIPES["vae"].config

if __name__ == "__main__":
    main(CONFIG)
