"""Parses the text of a compiled XLA program: instructions, collectives between chips, and products."""

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

BYTES = {"pred": 1, "s8": 1, "u8": 1, "bf16": 2, "f16": 2, "s16": 2, "u16": 2, "f32": 4, "s32": 4, "u32": 4}
COLLECTIVES = ("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute", "collective-broadcast")
PRODUCTS = ("convolution", "dot")
# Instructions that only name or view arrays, without writing.
FREE = {"parameter", "constant", "tuple", "get-tuple-element", "bitcast", "while", "conditional", "call", "after-all"}
CALLS = {"call", "call-start"}  # the second runs asynchronously, as collectives on Ironwood's SparseCores

_COMPUTATION = re.compile(r"^(ENTRY )?%?([\w.\-]+) \(.*\{$")
_INSTRUCTION = re.compile(r"^\s+(?:ROOT )?%?([\w.\-]+) = (.*?) ([a-z][a-z\-]*)\(([^)]*)\)(.*)$")
_ARRAY = re.compile(r"(\w+)\[([\d,]*)\]")


class Array(NamedTuple):
    """One array of a program."""

    dtype: str
    size: int  # elements


class Instruction(NamedTuple):
    """One instruction of a computation."""

    name: str
    opcode: str
    results: tuple[Array, ...]
    operands: tuple[str, ...]
    attributes: str

    def called(self, kind: str) -> tuple[str, ...]:
        """Returns the computations that an attribute names."""
        found = re.search(rf"\b{kind}=(\{{[^}}]*\}}|%?[\w.\-]+)", self.attributes)
        return tuple(re.findall(r"[\w.\-]+", found[1])) if found else ()

    @property
    def origin(self) -> str:
        """Returns the path of the JAX operation that it comes from."""
        found = re.search(r'op_name="([^"]*)"', self.attributes)
        return found[1] if found else ""


class Collective(NamedTuple):
    """One collective operation between chips."""

    kind: str
    operands: tuple[Array, ...]
    groups: tuple[tuple[int, ...], ...] = ()  # groups of chips that communicate; none: all chips

    @property
    def bytes(self) -> int:
        """Returns the number of bytes that each chip sends."""
        return sum(array.size * BYTES.get(array.dtype, 8) for array in self.operands)


@dataclass(frozen=True)
class Program:
    """A compiled program."""

    computations: Mapping[str, Mapping[str, Instruction]]
    entry: str
    aliased: frozenset[int]  # outputs that share memory with an argument

    @cached_property
    def body(self) -> str:
        """Returns the computation of one training step: the body of the program's only loop.

        Raises:
          ValueError: if there is not exactly one loop.
        """
        loops = [i for i in self.computations[self.entry].values() if i.opcode == "while"]
        if len(loops) != 1:
            raise ValueError(f"the program has {len(loops)} loops where one over steps was expected")
        return loops[0].called("body")[0]

    def inside(self, fusion: Instruction) -> Iterator[tuple[str, Instruction]]:
        """Yields the operations fused into a kernel, at any depth, each with its computation."""
        for name in fusion.called("calls"):
            for instruction in self.computations[name].values():
                yield name, instruction
                yield from self.inside(instruction)

    def kernels(self, computation: str) -> Iterator[tuple[str, Instruction]]:
        """Yields the instructions that a computation runs, including loops and branches; a fusion counts as one."""
        for instruction in self.computations[computation].values():
            yield computation, instruction
            kinds = ["branch_computations", "true_computation", "false_computation", "body"]
            for kind in kinds + ["to_apply"] * (instruction.opcode in CALLS):
                for name in instruction.called(kind):
                    yield from self.kernels(name)

    def collectives(self, computation: str) -> list[Collective]:
        """Returns the collectives in a computation and in all computations that it calls.

        An asynchronous collective counts once, and so does a collective that is fused with the user of its result.
        """
        return [
            Collective(
                i.opcode.removesuffix("-start"),
                tuple(array for name in i.operands for array in self.computations[scope][name].results),
                _groups(i.attributes),
            )
            for outer, kernel in self.kernels(computation)
            for scope, i in [(outer, kernel), *self.inside(kernel)]
            if i.opcode.removesuffix("-start") in COLLECTIVES
        ]

    def whole_copies(self, size: int) -> list[str]:
        """Lists the kernels of a step that write an array of at least ``size`` elements, such as the whole data set."""
        return [
            instruction.name
            for _, instruction in self.kernels(self.body)
            if instruction.opcode not in FREE and any(array.size >= size for array in instruction.results)
        ]

    def products(self) -> "Products":
        """Finds the convolutions and matrix products of a program compiled for TPU.

        The compiler turns matrix products into convolutions. A kernel on the matrix unit has the attribute
        "convolution_algorithm_config".
        """
        count, elsewhere, kept, named = 0, [], set(), set()
        for _, kernel in self.kernels(self.entry):
            operations = [kernel, *(i for _, i in self.inside(kernel))]
            held = [i for i in operations if i.opcode in PRODUCTS]
            count += len(held)
            kept |= {i.origin for i in held}
            named |= {i.origin for i in operations if i.opcode in ("multiply", "reduce")}
            if held and '"convolution_algorithm_config"' not in kernel.attributes:
                elsewhere.append(kernel.name)
        apart = [name for name in named - kept if name.endswith(("/conv_general_dilated", "/dot_general"))]
        return Products(count, elsewhere, sorted(apart))


class Products(NamedTuple):
    """The convolutions and matrix products of a program, by where they run."""

    count: int  # on the matrix unit
    elsewhere: list[str]  # kernels with a product outside of the matrix unit
    taken_apart: list[str]  # JAX operations that became multiplications and sums


def parse(text: str) -> Program:
    """Parses the output of `compiled.as_text()`; raises ValueError if it has no entry computation."""
    computations, current, entry = {}, {}, None
    for line in text.splitlines():
        if header := _COMPUTATION.match(line):
            current = computations.setdefault(header[2], {})
            entry = header[2] if header[1] else entry
        elif found := _INSTRUCTION.match(line):
            name, type_, opcode, operands, attributes = found.groups()
            # Operands are names, with or without types before them; the operand of a parameter is its position.
            names = (operands,) if opcode == "parameter" else tuple(re.findall(r"%([\w.\-]+)", operands))
            sizes = [
                (dtype, math.prod(map(int, filter(None, dims.split(","))))) for dtype, dims in _ARRAY.findall(type_)
            ]
            current[name] = Instruction(name, opcode, tuple(Array(*each) for each in sizes), names, attributes)
    if entry is None:
        raise ValueError("this is not the text of a compiled program: no entry")
    alias = re.search(r"input_output_alias=\{(.*?)\}, entry_computation_layout", text.split("\n", 1)[0])
    outputs = re.findall(r"\{(\d*)\}: \(\d+,", alias[1]) if alias else []
    return Program(computations, entry, frozenset(int(o or 0) for o in outputs))


def _groups(attributes: str) -> tuple[tuple[int, ...], ...]:
    """Parses the groups of chips of a collective, given as a list or as a reshaped and transposed range."""
    if listed := re.search(r"replica_groups=\{(\{.*?\})\}", attributes):
        return tuple(tuple(map(int, group.split(","))) for group in re.findall(r"[\d,]*\d", listed[1]))
    if counted := re.search(r"replica_groups=\[(\d+,\d+)\]<=\[([\d,]+)\](?:T\(([\d,]+)\))?", attributes):
        shape, counts, order = (tuple(map(int, text.split(","))) if text else None for text in counted.groups())
        chips = np.arange(math.prod(counts)).reshape(counts).transpose(order).reshape(shape)
        return tuple(map(tuple, chips.tolist()))
    return ()


def reduced_sizes(found: Sequence[Collective]) -> Counter[int]:
    """Counts the arrays summed over chips, by number of elements."""
    return Counter(array.size for c in found if c.kind == "all-reduce" for array in c.operands)
