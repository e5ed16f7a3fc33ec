"""Flow matching: a regression on the velocity that carries noise to images, instead of a game.

Run:       python experiments/flow_matching.py              (--help lists every flag)
Read:      jaxgan/methods/flow_matching.py, jaxgan/nn/unet.py, jaxgan/methods/optimization.py
Time:      about 14 min on two CPU cores, 10 epochs at 23 steps per second
Expect:    most digits are legible after four epochs; at the end some still have broken strokes
Figures:   training (velocity error, also held-out), progress, samples, path (from noise to images);
           with --conditional also classes (one row per class)
Try:       --conditional --guidance 2 for class-conditional samples; --sampler euler --sample-steps 29 for the same
           number of network evaluations; --sample-steps 2 for straightness of the paths; --prediction velocity for a
           harder target
Writes:    runs/flow_matching/ with config.json, metrics.jsonl, timings.jsonl, tensorboard/, checkpoints/, samples/ and
           figures/
"""

from jaxgan.recipes import RECIPES
from jaxgan.runs.launch import main

CONFIG = RECIPES["flow_matching"].config

if __name__ == "__main__":
    main(CONFIG)
