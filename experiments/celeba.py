"""Colour faces of 64 x 64 pixels: residual networks without normalization, on CelebA, for a GPU or TPU.

Run:       python experiments/celeba.py              (--help lists every flag)
           prepare CelebA first: tfds build celeb_a --file_format=array_record
Time:      unknown, since no GPU was available: 76,200 steps, each with 1.5 times the arithmetic of cifar10.py
Expect:    unknown. Not trained in full: the program runs on synthetic images and compiles for TPUs
Method:    as in experiments/cifar10.py, with one more resolution with half the channels, and a larger penalty
           weight. The faces are streamed: read, cropped and resized ahead of the steps
Figures:   training (losses, penalties, probability of the real image of a pair), progress, samples
Try:       --image-size 32 for smaller faces; --max-width 256 --blocks 1; --accumulate 4 to save memory;
           --data PATH --input memory --image-size 64 --decay-steps 0 for your own pictures
Read:      jaxgan/nn/resnet.py, jaxgan/methods/residual_gan.py, jaxgan/data/streaming.py
Writes:    runs/celeba/ with config.json, metrics.jsonl, timings.jsonl, tensorboard/, checkpoints/, samples/ and
           figures/
"""

from jaxgan.recipes import RECIPES
from jaxgan.runs.launch import main

CONFIG = RECIPES["celeba"].config

if __name__ == "__main__":
    main(CONFIG)
