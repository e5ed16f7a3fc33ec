"""Introduces listed bugs one at a time, and runs the fast tests to see which test detects each.

Run:       python experiments/studies/mutations.py                      (--help lists every flag)
           python experiments/studies/mutations.py --only "key reused"  (bugs whose name contains it)
Time:      6 min on two CPU cores
Expect:    a table of bugs, each with the first test that failed: experiments/gallery/mutations/mutations.md
Writes:    runs/mutations/ (or --out) with mutations.md, updated after each bug
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # experiments/

from studies import machine, markdown, training

from jaxgan.errors import UserError

ROOT = Path(__file__).resolve().parents[2]
COPIED = ("jaxgan", "tests", "experiments", "pyproject.toml", "README.md")


class Mutation(NamedTuple):
    """A bug that a test should detect."""

    name: str
    file: str  # in the package
    before: str
    after: str
    tests: tuple[str, ...]  # the fast tests to run, the most likely first


GAN, WGAN = ("tests/methods/test_gan.py",), ("tests/methods/test_wgan.py", "tests/methods/test_gan.py")
LOSSES, PENALTIES = ("tests/methods/test_losses.py",), ("tests/methods/test_penalties.py",)
LAYERS, NOISE = ("tests/nn/test_layers.py", "tests/properties"), ("tests/nn/test_noise.py",)
RUNTIME = ("tests/runtime", "tests/properties")
MUTATIONS = (
    Mutation("sign of a loss", "methods/losses.py", "softplus(-logits)", "softplus(logits)", LOSSES),
    Mutation("minimax without its minus", "methods/losses.py", "-fake_loss(fake)", "fake_loss(fake)", LOSSES),
    Mutation(
        "critic ends in a sigmoid",
        "nn/convnets.py",
        "            return psi\n",
        "            return nn.sigmoid(psi)\n",
        WGAN,
    ),
    Mutation("hinge margin on the wrong side", "methods/losses.py", "relu(1 - real)", "relu(1 + real)", LOSSES),
    Mutation(
        "norm over the wrong axes",
        "methods/penalties.py",
        "jnp.sum(jnp.square(gradients.reshape(len(gradients), -1)), axis=1)",
        "jnp.sum(jnp.square(gradients), axis=(1, 2)).mean(-1)",
        PENALTIES,
    ),
    Mutation("square root at 0", "methods/penalties.py", "jnp.where(zero, 1, squares)", "squares", PENALTIES),
    Mutation(
        "one fraction for the whole batch",
        "methods/penalties.py",
        "(noise.uniform(bits) + 1) / 2)",
        "(noise.uniform(bits[:1]) + 1) / 2)",
        PENALTIES,
    ),
    Mutation("penalty weight without its interval", "methods/gan.py", "gan.penalty_every * p.value", "p.value", GAN),
    Mutation(
        "latents reused by the generator",
        "methods/gan.py",
        'gan.prior.draw(examples.bits["generator_latents"])',
        'gan.prior.draw(examples.bits["fake_latents"])',
        (*GAN, "tests/parity/test_trajectories.py"),
    ),
    Mutation(
        "generator against the old discriminator",
        "methods/gan.py",
        "partial(update_generator, gan, discriminator",
        "partial(update_generator, gan, state.discriminator",
        (*GAN, "tests/parity/test_trajectories.py"),
    ),
    Mutation(
        "generator step off by one",
        "methods/gan.py",
        "(state.step + 1) % gan.critic_steps",
        "state.step % gan.critic_steps",
        WGAN,
    ),
    Mutation(
        "the discriminator's statistics never move",
        "methods/gan.py",
        'return total, (metrics, recorded.get("batch_stats", network.batch_stats))',
        "return total, (metrics, network.batch_stats)",
        (*GAN, "tests/methods/test_dcgan.py", "tests/parity/test_trajectories.py"),
    ),
    Mutation(
        "samples in training mode",
        "methods/gan.py",
        "apply, variables, train=False)",
        "apply, variables, train=True)",
        GAN,
    ),
    Mutation("average reversed", "methods/gan.py", "averaged, 1 - gan.ema_decay)", "averaged, gan.ema_decay)", GAN),
    Mutation(
        "average of parameters reversed",
        "methods/optimization.py",
        "state.averaged, 1 - ema_decay)",
        "state.averaged, ema_decay)",
        ("tests/methods/test_optimization.py", "tests/methods/test_vae.py"),
    ),
    Mutation(
        "sum of parts instead of their mean",
        "methods/optimization.py",
        "x / accumulate",
        "x",
        ("tests/methods/test_optimization.py", "tests/test_every_method.py"),
    ),
    Mutation(
        "schedule one step late",
        "methods/optimization.py",
        "learning_rate(count - 1)",
        "learning_rate(count)",
        ("tests/methods/test_optimization.py",),
    ),
    Mutation(
        "epsilon without its correction",
        "methods/optimization.py",
        "eps * root",
        "eps + 0 * root",
        ("tests/methods/test_optimization.py", "tests/test_interop.py"),
    ),
    Mutation("momentum convention", "nn/layers.py", "self.momentum * (mean", "(1 - self.momentum) * (mean", LAYERS),
    Mutation("biased running variance", "nn/layers.py", "(count / (count - 1))", "1.0", LAYERS),
    Mutation(
        "statistics differ per device", "nn/layers.py", "if self.axis_name else mean", "if False else mean", LAYERS
    ),
    Mutation("gradient through singular vectors", "nn/layers.py", "lax.stop_gradient(matrix)", "matrix", LAYERS),
    Mutation(
        "mask not rescaled",
        "nn/mlp.py",
        "h / (1 - self.dropout_rate)",
        "h",
        ("tests/nn/test_mlp.py", "tests/methods/test_vanilla_gan.py"),
    ),
    Mutation("mask kept and dropped swapped", "nn/noise.py", ":units] >= ", ":units] < ", NOISE),
    Mutation(
        "noise by position on the device",
        "runtime/program.py",
        "index = first + jnp.arange(size)\n    step_key",
        "index = jnp.arange(size)\n    step_key",
        RUNTIME,
    ),
    Mutation(
        "key reused in every step", "runtime/program.py", "jax.random.fold_in(step_key, step))", "step_key)", RUNTIME
    ),
    Mutation(
        "data order of an epoch off by one",
        "runtime/program.py",
        "(step % steps_at_hand)",
        "((step + 1) % steps_at_hand)",
        RUNTIME,
    ),
    Mutation(
        "every epoch in the same order",
        "data/order.py",
        "[seed, EPOCH_STREAM, epoch]",
        "[seed, EPOCH_STREAM, 0]",
        ("tests/data/test_order.py",),
    ),
    Mutation("evaluation drops the rest", "runtime/program.py", "if rest else means", "if False else means", RUNTIME),
    Mutation(
        "KL by the wrong count",
        "methods/evidence.py",
        "- 1 - log_variance, axis=1) / 2",
        "- 1 - log_variance, axis=1) / mean.shape[1]",
        ("tests/methods/test_vae.py",),
    ),
    Mutation(
        "deviation for variance",
        "methods/evidence.py",
        "jnp.exp(log_variance / 2) * epsilon",
        "jnp.exp(log_variance) * epsilon",
        ("tests/methods/test_vae.py",),
    ),
    Mutation(
        "importance weights by their sum",
        "methods/evidence.py",
        "- math.log(samples)",
        "",
        ("tests/methods/test_evidence.py",),
    ),
    Mutation(
        "path from image to noise",
        "methods/flow_matching.py",
        "(1 - t) * x_0 + t * x_1",
        "t * x_0 + (1 - t) * x_1",
        ("tests/methods/test_flow_matching.py",),
    ),
    Mutation(
        "guidance from the label",
        "methods/flow_matching.py",
        "return unknown + guidance *",
        "return field(x, t, *labels) + guidance *",
        ("tests/methods/test_flow_matching.py",),
    ),
    Mutation(
        "digest not compared",
        "runs/digests.py",
        "(name not in arrays or _digest(arrays[name]) != saved[name])",
        "name not in arrays",
        ("tests/faults/test_checkpoints.py",),
    ),
)


@dataclass(frozen=True)
class Options:
    """Introduces listed bugs, and reports which fast test detects each."""

    only: str = ""  # only bugs whose name contains this text
    out: Path = Path("runs/mutations")  # folder for the report


def study(options: Options) -> Path:
    """Tests the bugs, and updates the report after each."""
    chosen = [mutation for mutation in MUTATIONS if options.only in mutation.name]
    if not chosen:
        raise UserError(f"--only: {options.only!r} is in no name, choose from {', '.join(m.name for m in MUTATIONS)}")
    options.out.mkdir(parents=True, exist_ok=True)
    rows = []
    for mutation in chosen:
        rows.append((mutation.name, f"`jaxgan/{mutation.file}`", noticed_by(mutation) or "no test"))
        print(*rows[-1], sep="  ", flush=True)
        (options.out / "mutations.md").write_text(report(rows))
    return options.out / "mutations.md"


def noticed_by(mutation: Mutation) -> str | None:
    """Applies a bug to a copy of the project, and returns the first test that fails; None if all pass.

    Raises:
      ValueError: if the file does not contain the text to replace, or if no test ran.
    """
    with tempfile.TemporaryDirectory() as name:
        copy = Path(name)
        for source in COPIED:
            (shutil.copytree if (ROOT / source).is_dir() else shutil.copy2)(ROOT / source, copy / source)
        file = copy / "jaxgan" / mutation.file
        text = file.read_text()
        if mutation.before not in text:
            raise ValueError(f"{mutation.name}: {mutation.before!r} does not occur in {mutation.file}")
        file.write_text(text.replace(mutation.before, mutation.after))
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-n", "0", "-p", "no:cacheprovider"]
        run = subprocess.run(
            [*command, *mutation.tests],
            cwd=copy,
            env={**os.environ, "PYTHONPATH": f"{copy}:{copy / 'experiments'}", "JAX_PLATFORMS": "cpu"},
            capture_output=True,
            text=True,
            check=False,
        )
        failed = re.search(r"^(?:FAILED|ERROR) (?:tests/)?([^\s\[]+)", run.stdout, re.MULTILINE)
        if run.returncode == 0:
            return None
        if not failed:
            raise ValueError(f"{mutation.name}: no test ran\n{run.stdout[-2000:]}{run.stderr[-2000:]}")
        return f"`{failed[1]}`"


def report(rows: Sequence[tuple[str, str, str]]) -> str:
    """Formats the table of bugs as Markdown."""
    return markdown.document(
        "# Bugs that the tests detect",
        machine.describe("jax"),
        "Each row is one change to a copy of the code. The last column names the first fast test that fails.",
        markdown.table(("change", "file", "detected by"), rows, "lll"),
    )


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the study as a command."""
    training.command("mutations", Options, study, argv)


if __name__ == "__main__":
    main()
