"""The classifier whose features measure the quality of samples, trained like every method.

Run:       python experiments/digit_classifier.py                        (--help lists every flag)
           python experiments/digit_classifier.py --data fashion_mnist   (for runs on that data set, or a path)
Time:      about 6 min on two CPU cores, 10 epochs
Expect:    99.5 % of the test digits right, also with the weights in half precision
Figures:   training (loss and accuracy, held out too), hardest (held-out digits with the least probable labels)
Read:      jaxgan/methods/classifier.py, jaxgan/nn/classifier.py, jaxgan/evaluation/feature_network.py
Writes:    runs/digit_classifier/ with config.json, metrics.jsonl, timings.jsonl, tensorboard/, checkpoints/, figures/
           and the weights in half precision, classifier.safetensors. `jaxgan evaluate` uses the weights that come with
           the package for MNIST; for other data sets those that this script copies to the user's cache folder
"""

import shutil
from collections.abc import Sequence
from pathlib import Path

import jaxgan
from jaxgan.config import Config, Run
from jaxgan.errors import one_line_errors
from jaxgan.evaluation import feature_network
from jaxgan.methods.classifier import Classifier
from jaxgan.runs.flags import read_flags
from jaxgan.runs.launch import run, stopped_in_words
from jaxgan.runtime.signals import exit_on_signals

EPOCHS, BATCH_SIZE = 10, 128
CONFIG = Config(
    method=Classifier(decay_steps=EPOCHS * (60_000 // BATCH_SIZE)),
    run=Run(workdir=Path("runs/digit_classifier"), epochs=EPOCHS, batch_size=BATCH_SIZE, checkpoint_every=1),
)


def main(argv: Sequence[str] | None = None) -> None:
    """Trains the classifier and writes its weights; flags as in every recipe."""
    with one_line_errors("digit_classifier"), exit_on_signals("digit_classifier"):
        config = read_flags(CONFIG, argv)
        with stopped_in_words("digit_classifier", config):
            folder = run(config)
        if not config.run.dry_run:
            trained, data = jaxgan.load_run(folder), config.run.data
            path = folder / "classifier.safetensors"
            about = {"data": data, "width": config.method.width, "classes": trained.classes}
            print(feature_network.keep(path, trained.state.network.variables, **about))
            if data not in feature_network.PINNED:
                target = feature_network.cached(data, config.run.image_size)
                target.parent.mkdir(parents=True, exist_ok=True)
                print(shutil.copyfile(path, target))


if __name__ == "__main__":
    main()
