"""The deep convolutional GAN: transposed convolutions draw, strided ones judge, with batch normalization between.

Run:       python experiments/dcgan.py              (--help lists every flag)
           XLA_FLAGS=--xla_force_host_platform_device_count=2 \
             python experiments/dcgan.py --devices 2 --parallel shard_map
                                                    (a device a core: the same numbers but for rounding, faster)
Time:      12 min 30 s on two CPU cores, 15 epochs at 19 steps a second
Expect:    recognisable digits from the fourth epoch on, of all ten classes at the end; the discriminator stays ahead:
           its loss near 0.22, the generator's near 3.4 nats, D(x) 0.91 and D(G(z)) 0.09
Figures:   training (losses and probabilities), progress (losses beside the same latents through training), samples;
           with --conditional also classes (a row for each)
Try:       --conditional, which tells both networks the digit, so that it can be asked for; --loss minimax,
           least_squares, hinge or relativistic; penalties by --r1-weight, --r2-weight, --dragan-weight; --spectral-norm
           (these with --discriminator-norm none, since batch normalization undoes a scale and ties images together);
           --ema-decay 0.999, which draws from an averaged generator; --beta1 0.5 and --initialization dcgan, which are
           the paper's
Writes:    runs/dcgan/ with config.json, metrics.jsonl, timings.jsonl, tensorboard/, checkpoints/, samples/ and figures/
"""

from pathlib import Path

from jaxgan.config import DCGAN, Config, Run
from jaxgan.runtime.launch import main

CONFIG = Config(
    method=DCGAN(), run=Run(workdir=Path("runs/dcgan"), epochs=15, checkpoint_every=1, sample_epochs=(1, 2, 4, 8, 15))
)

if __name__ == "__main__":
    main(CONFIG)
