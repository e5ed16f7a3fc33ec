"""Autoencoders: digits squeezed through 32 numbers, held against PCA; and why that makes no generative model.

Run:       python experiments/autoencoder.py        (--help lists every flag)
Time:      40 s on two CPU cores, 10 epochs; 15 s with --encoder linear; half a minute an epoch with --encoder conv
Expect:    a squared error on held-out digits of 0.0089 a pixel where PCA leaves 0.0168; with --encoder linear 0.0169,
           from above as it must be; with --encoder conv 0.0091 after the first epoch already
Figures:   training (with PCA's error), reconstructions, decoded_noise: codes drawn from N(0, I) decode to scribbles,
           codes from a Gaussian fitted to the real ones to blends of digits; progress and samples draw from N(0, I)
           too; with --latent-size 2 also the latent plane by class
Try:       --loss bernoulli; --latent-size 2; --encoder linear
Writes:    runs/autoencoder/ with config.json, metrics.jsonl, timings.jsonl, tensorboard/, checkpoints/, samples/ and
           figures/
"""

from pathlib import Path

from jaxgan.config import Autoencoder, Config, Run
from jaxgan.runtime.launch import main

CONFIG = Config(
    method=Autoencoder(),
    run=Run(workdir=Path("runs/autoencoder"), epochs=10, batch_size=128, sample_epochs=(1, 2, 4, 10)),
)

if __name__ == "__main__":
    main(CONFIG)
