"""The variational autoencoder, 784-400-20-400-784: a prior on the latents makes its decoder a generator of digits.

Run:       python experiments/vae.py        (--help lists every flag)
Time:      30 s on two CPU cores, 10 epochs at 190 steps a second
Expect:    a negative ELBO of 104.2 to 104.5 nats per image on held-out digits (seeds 0 to 4), of which 25 are the KL
           divergence; PyTorch's example of this size ends at 105.6 after as many epochs
Targets:   soft: the pixels themselves are the probabilities that the Bernoulli cross-entropy is taken against, without
           a continuous-Bernoulli normaliser; --targets binarized draws 0 and 1 from them in every step
Averaging: what is measured and drawn from are parameters averaged over about the last 100 steps (--ema-decay 0.99);
           the last step's own, --ema-decay 0, reach 105.3 and 105.5 (seeds 0 and 1)
Figures:   training (both terms), reconstructions, samples, progress, interpolation; with --latent-size 2 also the
           latent plane by class, and the manifold of what it decodes to
Try:       --encoder conv; --beta 4; --latent-size 2
Writes:    runs/vae/ with config.json, metrics.jsonl, timings.jsonl, tensorboard/, checkpoints/, samples/ and figures/
"""

from pathlib import Path

from jaxgan.config import VAE, Config, Run
from jaxgan.runtime.launch import main

CONFIG = Config(method=VAE(), run=Run(workdir=Path("runs/vae"), epochs=10, batch_size=128, sample_epochs=(1, 2, 4, 10)))

if __name__ == "__main__":
    main(CONFIG)
