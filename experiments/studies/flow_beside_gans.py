"""The cost of samples from flow matching and GANs: network evaluations, sampling speed, training, parameters.

Run:       python experiments/studies/flow_beside_gans.py       (--help lists every flag)
           python experiments/studies/flow_beside_gans.py --runs r3gan dcgan flow_matching
                                                                (the rows of the report in the gallery)
           python experiments/studies/flow_beside_gans.py --runs r3gan runs/small_flow --steps 2 15
Time:      11 min on two CPU cores; flow matching's samples take most of it
Expect:    flow matching with fewer steps is faster and worse; GANs sample in one evaluation; numbers:
           experiments/gallery/quality/flow_beside_gans.md
Writes:    runs/flow_beside_gans/flow_beside_gans.md (or in --out); runs/samples/
"""

import dataclasses
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # experiments/

import jax
import jax.numpy as jnp
from studies import generators, machine, markdown, training
from studies.speed import programs
from studies.speed.timing import Train, interleaved, ratio

from jaxgan import data, methods
from jaxgan.evaluation import feature_network, protocol
from jaxgan.methods.flow_matching import FlowMatching
from jaxgan.methods.sampling import draw_latents
from jaxgan.runs.console import layers
from jaxgan.runs.load import LoadedRun
from jaxgan.runs.sampler import SAMPLE_BATCH, batch_key
from jaxgan.runs.workdir import write_atomically
from jaxgan.runtime.devices import select_devices

METRICS = ("frechet_distance", "precision", "recall")


@dataclass(frozen=True)
class Options:
    """Measures cost and quality of the samples of finished runs."""

    runs: tuple[Path, ...] = field(default=generators.SHIPPED)  # runs or trained generators; the first is the reference
    steps: tuple[int, ...] = (2, 5, 15)  # solver steps of flow matching, a row for each
    samples: int = protocol.COUNT  # images drawn for each row
    repeats: int = 5  # timed turns of each program
    seconds: float = 1.0  # seconds per turn
    cache: Path = Path("runs/samples")  # folder for the samples
    out: Path = Path("runs/flow_beside_gans")  # folder for the report
    data_dir: Path | None = None  # folder of prepared TFDS data sets; None: TFDS_DATA_DIR or ~/tensorflow_datasets


class Row(NamedTuple):
    """A generator; for flow matching, with a number of solver steps."""

    title: str
    trained: str  # title of the run
    run: LoadedRun
    evaluations: int  # network evaluations per sample


def rows(trained: Sequence[generators.Trained], steps: Sequence[int]) -> list[Row]:
    """Lists the generators; flow matching once for each number of steps."""
    found = []
    for title, run in trained:
        flow = run.config.method
        if not isinstance(flow, FlowMatching):
            found.append(Row(title, title, run, 1))
            continue
        for count in steps:
            config = dataclasses.replace(run.config, method=dataclasses.replace(flow, sample_steps=count))
            method = methods.build(config.method, image_shape=run.image_shape, classes=run.classes)
            evaluations = (2 * count - 1 if flow.sampler == "heun" else count) * (1 if flow.guidance == 1 else 2)
            solver = f"{title}, {count} {flow.sampler.capitalize()} step{'s' * (count > 1)}"
            found.append(Row(solver, title, run._replace(config=config, method=method), evaluations))
    return found


def drawing(run: LoadedRun) -> Train:
    """Compiles sampling, and returns a function that draws a number of batches and waits for the last."""
    generator = run.method.generator(run.state)
    labels = (jnp.arange(SAMPLE_BATCH) % generator.classes,) if generator.classes else ()
    latents = draw_latents(generator, batch_key(0, jnp.int32(0)), jnp.arange(SAMPLE_BATCH))
    images = jax.jit(generator.images)
    jax.block_until_ready(images(latents, *labels))

    def draw(batches: int) -> None:
        for _ in range(batches):
            jax.block_until_ready(images(latents, *labels))

    return draw


def parameters(run: LoadedRun) -> tuple[int, int]:
    """Counts the parameters of the network that draws samples, and of all trained networks."""
    counts = {
        name: sum(layer.parameters for layer in layers(network, batch_size=1))
        for name, network in run.method.networks.items()
    }
    return counts[run.method.generator(run.state).name], sum(counts.values())


def study(options: Options) -> Path:
    """Draws and scores samples, times sampling and training, and writes the report."""
    least_one = {"steps": min(options.steps, default=0), "repeats": options.repeats}
    trained = generators.load(options.runs, samples=options.samples, **least_one)
    listed, devices = rows(trained, options.steps), select_devices(count=1)
    train, test = (data.load(generators.DATA, split=split, data_dir=options.data_dir) for split in ("train", "test"))
    against = protocol.reference(feature_network.load(generators.DATA), test)
    quality = [
        protocol.measure(generators.samples(row.run, count=options.samples, cache=options.cache), against, seed=0)
        for row in listed
    ]
    floor = protocol.floor(train, against, count=options.samples)
    how = {"repeats": options.repeats, "seconds": options.seconds}
    drawn = interleaved({row.title: drawing(row.run) for row in listed}, **how)
    stepped = interleaved({t.title: programs.jaxgan(t.run.config, train, devices) for t in trained}, **how)
    reference, table = listed[0].title, []
    for row, found in zip(listed, quality, strict=True):
        slower = ratio(stepped[trained[0].title], stepped[row.trained]) * row.run.step / trained[0].run.step
        speed = sorted(drawn[row.title])[options.repeats // 2] * SAMPLE_BATCH
        cells = [f"{count:,}" for count in (*parameters(row.run), row.evaluations)]
        cells += [markdown.number(speed), markdown.number(ratio(drawn[row.title], drawn[reference]))]
        table.append([row.title, *(markdown.number(found[name]) for name in METRICS), markdown.number(slower), *cells])
    table.append(["floor: training images", *(markdown.number(floor[name]) for name in METRICS), *[None] * 6])
    header = [training.METRICS[name] for name in METRICS]
    header += ["training time", "parameters", "trained parameters", "evaluations", "samples/s", "sampling speed"]
    text = markdown.document(
        "# Flow matching beside the GANs",
        machine.describe("jax", "flax", "jaxgan"),
        f"{training.protocol_text(options.samples)} Training time (of all steps) and sampling speed are relative to "
        "the first row: medians over interleaved turns of the compiled programs in one process. A batch has "
        f"{SAMPLE_BATCH} samples. Parameters are those of the network that draws samples, and of all trained "
        "networks. Evaluations are network evaluations per sample; guidance doubles them.",
        markdown.table(["generator", *header], table),
    )
    options.out.mkdir(parents=True, exist_ok=True)
    write_atomically(options.out / "flow_beside_gans.md", text)
    return options.out / "flow_beside_gans.md"


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the study as a command."""
    training.command("flow_beside_gans", Options, study, argv)


if __name__ == "__main__":
    main()
