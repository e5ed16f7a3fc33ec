"""Log-likelihood of binarized MNIST under a VAE and an IWAE, beside published values.

Run:       python experiments/studies/likelihood.py      (--help lists every flag)
           python experiments/studies/likelihood.py --models iwae --out experiments/gallery/likelihood
                                                          (updates this row of the report)
Data:      MNIST; training images are binarized at random in every step, test images once, by the seed
Networks:  as in Burda et al. 2016: 784-200-200-50-200-200-784, tanh, one stochastic layer
Measure:   the importance-weighted estimate of log p(x) with 5,000 latents for each of the 10,000 test images
Time:      half an hour to 40 min per model on one CPU core, and 7 min per estimate
Expect:    a table of both models beside published values; numbers: experiments/gallery/likelihood/likelihood.md
Writes:    runs/likelihood/MODEL/, a working directory per model; likelihood.md and likelihood.json in
           runs/likelihood/ (or --out), updated after each model
"""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # experiments/

from studies import machine, markdown, training

from jaxgan import data
from jaxgan.config import Config, Run
from jaxgan.methods.vae import VAE
from jaxgan.runs.held_out import negative_log_likelihood
from jaxgan.runs.launch import stopped_in_words
from jaxgan.runs.load import load_run
from jaxgan.runs.workdir import write_atomically


def recipe(importance_samples: int, *, epochs: int, learning_rate: float) -> Config:
    """Makes a config: the networks of Burda et al., with a larger batch and a learning rate that decays to 0."""
    method = VAE(
        latent_size=50,
        hidden_layers=2,
        hidden_units=200,
        activation="tanh",
        importance_samples=importance_samples,
        targets="binarized",
        initialization="lecun",
        learning_rate=learning_rate,
        decay_steps=600 * epochs,
        ema_decay=0.999,
    )
    return Config(method, Run(epochs=epochs, batch_size=100, checkpoint_every=10, sample_epochs=()))


MODELS: Mapping[str, Config] = {
    "vae": recipe(1, epochs=400, learning_rate=2e-3),
    "iwae": recipe(5, epochs=200, learning_rate=3e-3),
}
TITLES = {"vae": "VAE, ours", "iwae": "IWAE, ours"}

BURDA, NBIP = "Burda et al. 2016, table 1", "[nbip/IWAE](https://github.com/nbip/IWAE)"
PYTHAE = "[pythae](https://github.com/clementchadebec/benchmark_VAE/tree/main/examples/scripts/reproducibility)"
PUBLISHED = (  # model, K in training, nats, epochs, batch size, binarization of the training images
    (f"VAE, {BURDA}", 1, 86.76, "3,280", 20, "dynamic"),
    (f"IWAE, {BURDA}", 5, 85.54, "3,280", 20, "dynamic"),
    (f"IWAE, {BURDA}", 50, 84.78, "3,280", 20, "dynamic"),
    (f"VAE, {NBIP}", 1, 86.35, "3,280", 20, "dynamic"),
    (f"IWAE, {NBIP}", 5, 85.18, "3,280", 20, "dynamic"),
    (f"IWAE, {NBIP}", 50, 84.59, "3,280", 20, "dynamic"),
    (f"IWAE, {PYTHAE}", 50, 86.82, "3,280", 20, "fixed"),
    (f"VAE of 784-400-40, {PYTHAE}", 1, 89.78, "500", 100, "fixed"),
)
NOTES = """\
All values are estimates of -log p(x), upper bounds in expectation. Published values use 5,000 latents per image
(pythae's VAE: 200). The values of Burda et al. are quoted from nbip/IWAE. Dynamic binarization samples the pixels of
training images again in every epoch; published test images are then a different sample from ours. Fixed binarization
samples all pixels once, which is a different data set. The gradients of our IWAE are doubly reparameterized (Tucker et
al. 2019), those of the published ones are plain."""


@dataclass(frozen=True)
class Options:
    """Trains a VAE and an IWAE on binarized MNIST, or reuses finished runs, and estimates their likelihood."""

    models: tuple[str, ...] = tuple(MODELS)  # rows to make; other rows of the report are kept
    epochs: int | None = None  # passes over the training images; None: 400 for the VAE, 200 for the IWAE
    samples: int = 5000  # latents per image for the estimate
    seed: int = 0  # seed of the run, of the binarized test images, and of the latents
    devices: int | None = None  # number of devices; None: as many as divide the batch
    runs: Path = Path("runs/likelihood")  # folder with one working directory per model
    out: Path = Path("runs/likelihood")  # folder for the table
    data_dir: Path | None = None  # folder of prepared TFDS data sets; None: TFDS_DATA_DIR or ~/tensorflow_datasets


def config(model: str, options: Options) -> Config:
    """Makes the config of a model's run."""
    run = {name: getattr(options, name) for name in ("data_dir", "seed", "devices")}
    epochs = MODELS[model].run.epochs if options.epochs is None else options.epochs
    return training.with_epochs(MODELS[model], epochs, workdir=options.runs / model, **run)


def measure(wanted: Config, options: Options) -> dict[str, Any]:
    """Estimates the likelihood of the test images under a finished run."""
    trained = load_run(wanted.run.workdir)
    test = data.load("mnist", split="test", data_dir=options.data_dir)
    estimate = {"seed": options.seed, "samples": options.samples}
    return {
        "nats": negative_log_likelihood(trained.method, trained.state, test, **estimate),
        "importance_samples": wanted.method.importance_samples,
        "epochs": wanted.run.epochs,
        "batch_size": wanted.run.batch_size,
        "minutes": training.training_seconds(wanted.run.workdir) / 60,
        "protocol": f"{options.samples:,} latents for each of {len(test.images):,} test images, seed {options.seed}",
        "measured": machine.describe("jax", "jaxgan"),
    }


def report(results: Mapping[str, Mapping[str, Any]]) -> str:
    """Formats the table as Markdown: measured values, then published values."""
    names = ("importance_samples", "nats", "epochs", "batch_size")
    header = ["model", "K in training", "-log p(x), nats per image ↓", "epochs", "batch", "binarization", "minutes"]
    ours = [[TITLES[name], *(row[each] for each in names), "dynamic", row["minutes"]] for name, row in results.items()]
    rows = [
        [model, k, f"{nats:.2f}", epochs, batch, pixels, minutes and f"{minutes:.1f}"]
        for model, k, nats, epochs, batch, pixels, minutes in (*ours, *((*row, None) for row in PUBLISHED))
    ]
    return markdown.document(
        "# Log-likelihood of binarized MNIST",
        markdown.table(header, rows),
        NOTES,
        markdown.bullets(f"{TITLES[name]}: {row['protocol']}; {row['measured']}" for name, row in results.items()),
    )


def study(options: Options) -> Path:
    """Trains the models, estimates their likelihood, and updates the table after each."""
    epochs = {} if options.epochs is None else {"epochs": options.epochs}
    training.check("--models", options.models, MODELS, importance_samples=options.samples, **epochs)
    path = options.out / "likelihood.md"
    saved = path.with_suffix(".json")
    for name in options.models:
        wanted = config(name, options)
        with stopped_in_words("likelihood", wanted):
            training.train(wanted)
        row = measure(wanted, options)
        results = (json.loads(saved.read_text()) if saved.exists() else {}) | {name: row}
        results = {name: results[name] for name in MODELS if name in results}
        options.out.mkdir(parents=True, exist_ok=True)
        write_atomically(saved, json.dumps(results, indent=1) + "\n")
        write_atomically(path, report(results))
    return path


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the study as a command."""
    training.command("likelihood", Options, study, argv)


if __name__ == "__main__":
    main()
