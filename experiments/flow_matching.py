"""Flow matching: no game, a regression on the velocity that carries noise to images.

Run:       python experiments/flow_matching.py              (--help lists every flag)
Read:      jaxgan/methods/flow_matching.py, jaxgan/nn/unet.py, jaxgan/methods/optimization.py
Time:      about 14 min on two CPU cores, 10 epochs at 23 steps per second
Expect:    most digits legible from the fourth epoch on; at the end some still have broken strokes
Figures:   training (velocity error, held out too), progress, samples, path (from noise to images);
           with --conditional also classes (a row for each)
Try:       --conditional --guidance 2, digits on demand; --sampler euler --sample-steps 29, as many network
           evaluations; --sample-steps 2, how straight the paths are; --prediction velocity, a harder target
Writes:    runs/flow_matching/ with config.json, metrics.jsonl, timings.jsonl, tensorboard/, checkpoints/, samples/ and
           figures/
"""

from jaxgan.recipes import RECIPES
from jaxgan.runs.launch import main

CONFIG = RECIPES["flow_matching"].config

if __name__ == "__main__":
    main(CONFIG)
