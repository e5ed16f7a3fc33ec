"""Damages the newest of two checkpoints in many ways, restores, and compares with what was saved.

Run:       python experiments/studies/damage.py             (--help lists every flag)
           python experiments/studies/damage.py --bits 1000
Time:      a minute on two CPU cores
Expect:    damage is noticed, and the checkpoint before is restored, or it changes no value
Writes:    runs/faults/damage.md (or in --out)
"""

import os
import random
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # experiments/

import jax
import numpy as np
from studies import machine, markdown, training

from jaxgan.fields import number
from jaxgan.methods import build
from jaxgan.methods.vanilla_gan import VanillaGAN
from jaxgan.runs import checkpoints
from jaxgan.runtime.devices import replicated
from jaxgan.runtime.program import Carry

STEPS = (1, 2)  # of the checkpoints, of which the newest is damaged
OUTCOMES = ("noticed", "no value changed", "silently wrong")


@dataclass(frozen=True)
class Options:
    """Damages checkpoints and restores them."""

    bits: int = number(100)  # single bits to flip, half of them in the file with the most arrays
    seed: int = 0  # of the bits
    out: Path = Path("runs/faults")  # folder for the report


class Damage(NamedTuple):
    """A way to damage one file of a checkpoint."""

    kind: str  # row of the table
    file: Path  # below the folder of the checkpoints
    apply: Callable[[Path], object]  # what it returns does not matter


def damages(folder: Path, options: Options) -> Iterator[Damage]:
    """Lists the flipped bits, and for each file of the newest checkpoint that it is cut, emptied and removed."""
    files = sorted(path.relative_to(folder) for path in (folder / f"{STEPS[-1]}").rglob("*") if path.is_file())
    largest = max(files, key=lambda file: (folder / file).stat().st_size)
    filled = [file for file in files if (folder / file).stat().st_size]
    chance = random.Random(options.seed)
    for i in range(options.bits):
        file = chance.choice(filled) if i % 2 else largest
        bit = chance.randrange(8 * (folder / file).stat().st_size)
        yield Damage("one bit flipped", file, lambda path, bit=bit: flip(path, bit))
    for file in files:
        yield Damage("file cut to half", file, lambda path: os.truncate(path, path.stat().st_size // 2))
        yield Damage("file emptied", file, lambda path: path.write_bytes(b""))
        yield Damage("file removed", file, Path.unlink)


def flip(path: Path, bit: int) -> None:
    """Flips a bit of a file."""
    content = bytearray(path.read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)


def study(options: Options) -> Path:
    """Saves, damages, restores, and writes the report."""
    method = build(VanillaGAN(hidden_units=8), image_shape=(28, 28, 1))
    sharding = replicated(jax.devices()[:1])
    carries = {step: Carry(method.init(jax.random.key(step)), {}, np.int32(step)) for step in STEPS}
    found: dict[str, Counter[str]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "saved"
        with checkpoints.checkpoint_manager(folder) as manager:
            for step, carry in carries.items():
                checkpoints.save(manager, jax.device_put(carry, sharding), step=step)
        for damage in damages(folder, options):
            copy = shutil.copytree(folder, Path(name) / "copy")
            damage.apply(copy / damage.file)
            found.setdefault(damage.kind, Counter())[outcome(copy, carries, sharding)] += 1
            shutil.rmtree(copy)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "damage.md").write_text(report(found))
    return options.out / "damage.md"


def outcome(folder: Path, carries: dict[int, Carry], sharding: jax.sharding.Sharding) -> str:
    """Restores from a folder, and says what became of the damage."""
    abstract = jax.eval_shape(lambda: carries[STEPS[0]])
    with checkpoints.checkpoint_manager(folder) as manager:
        step, restored = checkpoints.restore_newest(manager, abstract, sharding=sharding)
    pairs = zip(jax.tree.leaves(jax.device_get(restored)), jax.tree.leaves(carries[step]), strict=True)
    if not all(np.array_equal(a, b) for a, b in pairs):
        return "silently wrong"
    return "no value changed" if step == STEPS[-1] else "noticed"


def report(found: dict[str, Counter[str]]) -> str:
    """The table, as Markdown."""
    rows = [(kind, counts.total(), *(counts[name] for name in OUTCOMES)) for kind, counts in found.items()]
    return markdown.document(
        "# Damaged checkpoints",
        "The newest of two checkpoints is damaged, then restored. *Noticed*: it is set aside, and the one before is "
        "restored with its saved values. *No value changed*: nothing depends on the damaged bytes.",
        markdown.table(("damage", "tried", *OUTCOMES), rows),
        machine.describe("jax", "orbax-checkpoint"),
    )


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the study as a command."""
    training.command("damage", Options, study, argv)


if __name__ == "__main__":
    main()
