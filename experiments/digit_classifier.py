"""The classifier whose features measure sample quality, trained like every other method.

Run:       python experiments/digit_classifier.py                        (--help lists every flag)
           python experiments/digit_classifier.py --data fashion_mnist   (for runs on that data set; or a path)
           python experiments/digit_classifier.py --network dense --seed 2 --workdir runs/judge
                                                     (another judge, for `jaxgan evaluate --judge`)
Time:      about 6 min on two CPU cores, 10 epochs
Expect:    99.5 % of the test digits right, also with the weights in half precision
Figures:   training (loss and accuracy, also held-out), hardest (held-out digits with the least probable labels)
Read:      jaxgan/methods/classifier.py, jaxgan/nn/classifier.py, jaxgan/evaluation/feature_network.py
Writes:    runs/digit_classifier/ with config.json, metrics.jsonl, timings.jsonl, tensorboard/, checkpoints/, figures/
           and classifier.safetensors, the weights in half precision. For MNIST, `jaxgan evaluate` uses the weights
           that come with the package; for other data sets, the weights that this script copies to the user's cache
"""

from collections.abc import Sequence

from jaxgan.recipes import RECIPES
from jaxgan.runs import launch

CONFIG = RECIPES["digit_classifier"].config


def main(argv: Sequence[str] | None = None) -> None:
    """Trains the classifier and writes its weights; takes the flags of every recipe."""
    launch.main(CONFIG, argv, finish=RECIPES["digit_classifier"].finish)


if __name__ == "__main__":
    main()
