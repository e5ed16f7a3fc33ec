"""What a compiled training program does in one step: collectives, products, traffic."""

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from aot.hlo import Array, Instruction, Program

COLLECTIVES = ("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute", "collective-broadcast")
PRODUCTS = ("convolution", "dot")
# Names for arrays and views of them, which move nothing.
FREE = {"parameter", "constant", "tuple", "get-tuple-element", "bitcast", "while", "conditional", "call", "after-all"}
FREE |= {"partition-id", "replica-id"}


@dataclass(frozen=True)
class Collective:
    """One exchange between the chips."""

    kind: str
    operands: tuple[Array, ...]
    sources: tuple[str, ...] = ()  # the kinds of instruction that its operands come from

    @property
    def bytes(self) -> float:
        """What each chip gives to it."""
        return sum(a.bytes for a in self.operands)

    @property
    def serves_a_crossing(self) -> bool:
        """Whether it only deals parts of a slice's sum to its chips, or gathers those that came from other slices."""
        return (self.kind, set(self.sources)) in [("collective-permute", {"all-reduce"}), ("all-gather", {"recv-done"})]


def collectives(program: Program, computation: str) -> list[Collective]:
    """Lists the exchanges between chips in a computation and all that it calls.

    Args:
      program: a compiled program.
      computation: one of its computations.

    Returns:
      One entry an instruction; a collective that is started here and waited for there counts once, and so does one that
      is fused with what takes its part of the result.
    """
    return [
        Collective(i.opcode.removesuffix("-start"), _operands(program, scope, i), _sources(program, scope, i))
        for outer, kernel in program.kernels(computation, every_branch=True)
        for scope, i in [(outer, kernel), *program.inside(kernel)]
        if i.opcode.removesuffix("-start") in COLLECTIVES
    ]


def crossings(program: Program, computation: str) -> list[Collective]:
    """Lists the exchanges between slices of TPUs, which hosts carry out for their chips, over their network.

    Args:
      program: a compiled program.
      computation: one of its computations.

    Returns:
      One entry for each array that a chip sends, with the kind of exchange that it is sent for.
    """
    found = []
    for scope, i in program.kernels(computation, every_branch=True):
        if i.opcode == "send" and (kind := re.search(r'_xla_megascale_transfer_type="(\w+)"', i.attributes)):
            name = kind[1].lower().replace("_", "-")
            found.append(Collective(name, _operands(program, scope, i)[:1], _sources(program, scope, i)[:1]))
    return found


def _operands(program: Program, scope: str, instruction: Instruction) -> tuple[Array, ...]:
    return tuple(array for name in instruction.operands for array in program.computations[scope][name].results)


def _sources(program: Program, scope: str, instruction: Instruction) -> tuple[str, ...]:
    kinds = []
    for name in instruction.operands:
        source = program.computations[scope][name]
        while source.opcode in ("get-tuple-element", "bitcast", "slice"):
            source = program.computations[scope][source.operands[0]]
        fused = [i.opcode for _, i in program.inside(source) if i.opcode in COLLECTIVES]
        kinds += fused or [source.opcode]
    return tuple(kinds)


def reduced_sizes(found: Sequence[Collective]) -> Counter[int]:
    """Counts the arrays that are summed over chips, by their number of elements."""
    return Counter(array.size for c in found if c.kind == "all-reduce" for array in c.operands)


class Products(NamedTuple):
    """Where the convolutions and matrix products of a program are computed."""

    count: int  # on the matrix unit
    elsewhere: list[str]  # kernels that hold one, but not on the matrix unit
    taken_apart: list[str]  # what JAX called those of which the compiler made multiplications and sums


def products(program: Program) -> Products:
    """Finds the convolutions and matrix products of a program.

    The TPU compiler turns matrix products into convolutions, and names with each kernel that holds some how they are
    laid out on the matrix unit.

    Args:
      program: compiled for TPU.

    Returns:
      Where they are.
    """
    count, elsewhere, kept, named = 0, [], set(), set()
    for _, kernel in program.kernels(program.entry, every_branch=True):
        operations = [kernel, *(i for _, i in program.inside(kernel))]
        held = [i for i in operations if i.opcode in PRODUCTS]
        count += len(held)
        kept |= {i.origin for i in held}
        named |= {i.origin for i in operations if i.opcode in ("multiply", "reduce")}
        if held and '"convolution_algorithm_config"' not in kernel.attributes:
            elsewhere.append(kernel.name)
    apart = [name for name in named - kept if name.endswith(("/conv_general_dilated", "/dot_general"))]
    return Products(count, elsewhere, sorted(apart))


def traffic(program: Program, computation: str) -> float:
    """Counts the bytes that the kernels of a computation read from HBM and write to it.

    What a kernel takes in and gives out, fused operations being one kernel; arrays that the compiler keeps in a chip's
    vector memory are left out, and of one that is only gathered from, only what is gathered counts. The padding of
    layouts is not counted, so this is a lower bound.

    Args:
      program: a compiled program.
      computation: one of its computations.

    Returns:
      Bytes.
    """
    return sum(
        _moved(program, name, instruction)
        for name, instruction in program.kernels(computation)
        if instruction.opcode not in FREE and not instruction.opcode.endswith("-done")
    )


def _moved(program: Program, computation: str, instruction: Instruction) -> float:
    scope = program.computations[computation]
    started = instruction.opcode.endswith("-start")
    outputs = instruction.results[:1] if started else instruction.results
    total = sum(a.bytes for a in outputs if not a.on_chip)
    for place, name in enumerate(instruction.operands):
        whole = sum(a.bytes for a in scope[name].results if not a.on_chip)
        total += min(whole, _picked(program, instruction, place))
    return total


def _picked(program: Program, user: Instruction, place: int) -> float:
    """The bytes that an instruction takes from one of its operands, if it only picks from it; infinite otherwise."""
    if user.opcode in ("gather", "dynamic-slice"):
        return sum(a.bytes for a in user.results) if place == 0 else math.inf
    if user.opcode != "fusion":
        return math.inf
    (name,) = user.called("calls")
    scope = program.computations[name].values()
    views = [i.name for i in scope if i.opcode == "parameter" and i.operands == (str(place),)]
    total = 0.0
    for view in views:  # grows on the way
        for inner in scope:
            if view in inner.operands and inner.opcode == "bitcast":
                views.append(inner.name)
            elif view in inner.operands:
                total += _picked(program, inner, inner.operands.index(view))
    return total


def whole_copies(program: Program, computation: str, *, size: int) -> list[str]:
    """Names the kernels in a computation that write an array at least so large, such as a copy of the data set.

    Args:
      program: a compiled program.
      computation: one of its computations.
      size: elements.

    Returns:
      Their names.
    """
    return [
        instruction.name
        for _, instruction in program.kernels(computation)
        if instruction.opcode not in FREE and any(a.size >= size for a in instruction.results)
    ]
