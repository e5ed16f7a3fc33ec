"""Colour photographs of 32 x 32 pixels: residual networks without normalization, on CIFAR-10, for a GPU or TPU.

Run:       python experiments/cifar10.py              (--help lists every flag)
           prepare CIFAR-10 first: tfds build cifar10 --file_format=array_record
Time:      unknown, since no GPU was available: 78,000 steps. The roofline of a TPU v5e is 30 steps per second
           (experiments/gallery/aot/colour/compile_for.md)
Expect:    unknown. Not trained in full: the program runs on synthetic images and compiles for TPUs
Method:    residual blocks with fix-up initialization, relativistic pairs, R1 and R2 in every step. After the
           configuration for CIFAR-10 of Huang et al., The GAN is dead; long live the GAN! A Modern GAN Baseline, 2024,
           with at most 512 channels instead of 768, half the batch size, fewer images, learning rates that decay to
           0, constant penalties, and no augmentation
Figures:   training (losses, penalties, probability of the real image of a pair), progress, samples
Try:       --conditional for class-conditional samples; --max-width 256 --blocks 1 for a tenth of the arithmetic;
           --penalty-every 4; --accumulate 4 to save memory;
           --dry-run --target v5e:2x2 for time and memory on a TPU, without a TPU;
           --data mnist --width 8 --max-width 64 --blocks 1 --compute-dtype float32 --decay-steps 0 for digits
Read:      jaxgan/nn/resnet.py, jaxgan/methods/residual_gan.py, jaxgan/methods/gan.py
Writes:    runs/cifar10/ with config.json, metrics.jsonl, timings.jsonl, tensorboard/, checkpoints/, samples/ and
           figures/
"""

from jaxgan.recipes import RECIPES
from jaxgan.runs.launch import main

CONFIG = RECIPES["cifar10"].config

if __name__ == "__main__":
    main(CONFIG)
