"""Faces of 64 pixels, in colour: residual networks without normalization, on CelebA, for a GPU or TPU.

Run:       python experiments/celeba.py              (--help lists every flag)
           CelebA first: tfds build celeb_a --file_format=array_record
Time:      not known, since no GPU was at hand: 76,200 steps, of half as much arithmetic again as those of cifar10.py
Expect:    not known. Not run at length: the program runs on made-up pictures and compiles for TPUs
Method:    that of experiments/cifar10.py, with one more size of half as many channels, and a larger weight of the
           penalties. The faces are streamed: they are read, cropped and resized ahead of the steps
Figures:   training (losses, penalties, probability of the real image of a pair), progress, samples
Try:       --image-size 32, for smaller faces; --max-width 256 --blocks 1; --accumulate 4, for less memory;
           --data PATH --input memory --image-size 64 --decay-steps 0, for your own pictures
Read:      jaxgan/nn/resnet.py, jaxgan/methods/residual_gan.py, jaxgan/data/streaming.py
Writes:    runs/celeba/ with config.json, metrics.jsonl, timings.jsonl, tensorboard/, checkpoints/, samples/ and
           figures/
"""

from jaxgan.recipes import RECIPES
from jaxgan.runs.launch import main

CONFIG = RECIPES["celeba"].config

if __name__ == "__main__":
    main(CONFIG)
