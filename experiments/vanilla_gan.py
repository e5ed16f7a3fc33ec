"""The chapter's first GAN: two fully connected networks, 81,284 and 78,501 parameters, learn to draw MNIST digits.

Run:       python experiments/vanilla_gan.py        (--help lists every flag)
Time:      1 min 45 s on two CPU cores, 100 epochs at 1,000 steps per second
Expect:    losses near 0.81 nats for the generator and 1.32 for the discriminator. D(x) falls towards 0.53, D(G(z))
           rises to 0.47. Digits of all ten classes, surrounded by specks of noise
Figures:   training (losses and probabilities), progress (losses beside samples from the same latents), samples
Read:      jaxgan/methods/vanilla_gan.py, jaxgan/methods/gan.py, jaxgan/methods/losses.py
Writes:    runs/vanilla_gan/ with config.json, metrics.jsonl, timings.jsonl, tensorboard/, checkpoints/, samples/ and
           figures/
"""

from jaxgan.recipes import RECIPES
from jaxgan.runs.launch import main

CONFIG = RECIPES["vanilla_gan"].config

if __name__ == "__main__":
    main(CONFIG)
