"""The classifier whose features the quality of samples is measured by, trained like everything else here.

Run:       python experiments/digit_classifier.py                        (--help lists every flag)
           python experiments/digit_classifier.py --data fashion_mnist   (an assessor for runs on that data set)
Time:      about 6 min on two CPU cores, 10 epochs: an estimate from 65 ms for 64 images on one of them
Expect:    99.5 % of the test digits right (seed 0: 9,953 of 10,000, and 9,952 with the weights in half precision)
Figures:   training (loss and accuracy, held out too), hardest (the held-out digits that it is least sure of)
Writes:    runs/digit_classifier/ with config.json, metrics.jsonl, timings.jsonl, tensorboard/, checkpoints/,
           figures/ and, in half precision, the weights: classifier.safetensors. `jaxgan evaluate` uses those that come
           with the package where it has some, which is for MNIST, and for other data sets what this script leaves in
           the user's cache folder.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path

from jaxgan.config import Classifier, Config, Run
from jaxgan.errors import one_line_errors
from jaxgan.evaluation import classifier
from jaxgan.runtime import finished
from jaxgan.runtime.interrupts import sigterm_ends
from jaxgan.runtime.launch import read_flags, run, stopped_in_words

EPOCHS, BATCH_SIZE = 10, 128
CONFIG = Config(
    method=Classifier(decay_steps=EPOCHS * (60_000 // BATCH_SIZE)),
    run=Run(workdir=Path("runs/digit_classifier"), epochs=EPOCHS, batch_size=BATCH_SIZE, checkpoint_every=1),
)


def main(argv: Sequence[str] | None = None) -> None:
    """Trains the classifier and keeps its weights; flags as in every recipe."""
    with one_line_errors("digit_classifier"), sigterm_ends("digit_classifier"):
        config = read_flags(CONFIG, argv)
        with stopped_in_words("digit_classifier", config):
            folder = run(config)
        if not config.run.dry_run:
            network = finished.load(folder).state.network
            variables = {"params": network.params, "batch_stats": network.batch_stats}
            path = folder / "classifier.safetensors"
            print(classifier.keep(path, variables, data=config.run.data, width=config.method.width))
            if config.run.data not in classifier.PINNED:
                target = classifier.cached(config.run.data)
                target.parent.mkdir(parents=True, exist_ok=True)
                print(shutil.copyfile(path, target))


if __name__ == "__main__":
    main()
