"""What has to hold of a compiled program, and what to say where it does not."""

from collections import Counter
from typing import Any

import jax
from jax.stages import Compiled

from aot import findings, hlo
from aot.targets import Target
from jaxgan.runtime.program import Carry


def memory_complaint(compiled: Compiled, target: Target) -> str | None:
    """Says what a program takes of a chip's memory, if that is more than there is."""
    memory = compiled.memory_analysis()
    held = memory.argument_size_in_bytes + memory.temp_size_in_bytes + memory.generated_code_size_in_bytes
    held += memory.output_size_in_bytes - memory.alias_size_in_bytes
    if held <= target.chip.hbm_bytes:
        return None
    return f"the program takes {held / 1e9:,.1f} GB of the {target.chip.hbm_bytes / 1e9:,.1f} GB of a chip"


def networks(carry: Carry) -> list[Any]:
    """The networks of a state, whatever it is the state of."""
    state = carry.state
    return [state.generator, state.discriminator] if hasattr(state, "generator") else [state.network]


def gradient_sizes(carry: Carry) -> Counter[int]:
    """Counts the arrays of parameters that get a gradient, by their number of elements."""
    return Counter(x.size for network in networks(carry) for x in jax.tree.leaves(network.params))


def donation_failures(program: hlo.Program, carry: Carry) -> list[str]:
    """Says which parts of the state the program has in memory twice, where it should write over its argument."""
    paths = [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(carry)]
    return [f"{path} is not donated" for i, path in enumerate(paths) if i not in program.aliased]


def product_failures(products: findings.Products) -> list[str]:
    """Says which products are not on a TPU's matrix unit, but for those of matrices with vectors.

    A product with a vector, such as that of the layer which ends in one logit, is a sum to the compiler.
    """
    convolutions = [name for name in products.taken_apart if name.endswith("/conv_general_dilated")]
    return [f"{name} is outside of the matrix unit" for name in [*products.elsewhere, *convolutions]]


def collective_failures(
    program: hlo.Program, carry: Carry, *, chips: int, slices: int = 1, joined: bool = False
) -> list[str]:
    """Says what chips exchange that they need not, or fail to.

    In a step each array of gradients is summed over the chips exactly once. Beside it only statistics of batch
    normalization and scalars (metrics) are, and nothing but sums is exchanged. The compiler may merge sums into one
    instruction, so that arrays are counted, by their sizes, and not instructions. Between slices each chip sends its
    part of what its slice has summed, which may first be dealt out anew, and the slice's chips then gather the parts.

    Args:
      program: a compiled chunk.
      carry: its first argument, as shapes.
      chips: how many share a step.
      slices: which they are in; for more than one the compiler joins arrays, and pads them to tiles.
      joined: whether the compiler lays arrays that are summed end to end, as the CUDA compiler does. Then only their
        elements can be counted: those of all gradients, and fewer more than the smallest network has.

    Returns:
      One line for each thing that is wrong.
    """
    step, crossings = (find(program, program.body) for find in (findings.collectives, findings.crossings))
    outside = sum(len(find(program, program.entry)) for find in (findings.collectives, findings.crossings))
    outside -= len(step) + len(crossings)
    served = [c for c in step if slices > 1 and c.serves_a_crossing]
    failures = [
        f"a step has an {c.kind} of {c.bytes:.0f} bytes"
        for c in [*step, *crossings]
        if c.kind != "all-reduce" and c not in served
    ]
    if outside:
        failures.append(f"{outside} collectives lie outside of the loop over steps")
    if chips == 1:
        return failures + [f"an {c.kind} on a single chip" for c in step]
    found, wanted = findings.reduced_sizes(step), gradient_sizes(carry)
    if joined or slices > 1:
        least = sum(wanted.elements())
        most = least + min(sum(x.size for x in jax.tree.leaves(network.params)) for network in networks(carry))
        totals = {"summed": sum(found.elements())}
        if slices > 1:
            parts = sum(array.size for c in served if c.kind == "all-gather" for array in c.operands)
            sent = sum(array.size for c in crossings for array in c.operands)
            totals["summed over slices"] = sent + (chips // slices - 1) * parts
        return failures + [
            f"{total:,} elements are {how}, not {least:,} of gradients and statistics to less than {most:,}"
            for how, total in totals.items()
            if not least <= total < most
        ]
    missing, more = wanted - found, found - wanted
    statistics = {x.size for network in networks(carry) for x in jax.tree.leaves(network.batch_stats)} | {1}
    failures += [f"no gradient of {size} elements is summed, {n} too few" for size, n in missing.items()]
    failures += [
        f"{n} arrays of {size} elements are summed that are neither gradients nor statistics of a batch"
        for size, n in more.items()
        if size not in statistics
    ]
    return failures
