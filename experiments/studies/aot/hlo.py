"""A compiled program, read from XLA's text: its instructions, its exchanges between chips, and its products."""

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
# Instructions that name arrays or views of them, and write nothing.
FREE = {"parameter", "constant", "tuple", "get-tuple-element", "bitcast", "while", "conditional", "call", "after-all"}
CALLS = {"call", "call-start"}  # the second runs beside the others, as exchanges do on an Ironwood's SparseCores

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
        """The computations that it names under an attribute."""
        found = re.search(rf"\b{kind}=(\{{[^}}]*\}}|%?[\w.\-]+)", self.attributes)
        return tuple(re.findall(r"[\w.\-]+", found[1])) if found else ()

    @property
    def origin(self) -> str:
        """The path of the JAX operation that it comes from."""
        found = re.search(r'op_name="([^"]*)"', self.attributes)
        return found[1] if found else ""


class Collective(NamedTuple):
    """One exchange between the chips."""

    kind: str
    operands: tuple[Array, ...]
    groups: tuple[tuple[int, ...], ...] = ()  # of chips, each among themselves; none: all chips

    @property
    def bytes(self) -> int:
        """What each chip sends."""
        return sum(array.size * BYTES.get(array.dtype, 8) for array in self.operands)


@dataclass(frozen=True)
class Program:
    """A compiled program."""

    computations: Mapping[str, Mapping[str, Instruction]]
    entry: str
    aliased: frozenset[int]  # outputs that take the place of an argument

    @cached_property
    def body(self) -> str:
        """The computation that is one training step: the body of the program's only loop over steps.

        Raises:
          ValueError: if there is no such loop, or more than one.
        """
        loops = [i for i in self.computations[self.entry].values() if i.opcode == "while"]
        if len(loops) != 1:
            raise ValueError(f"the program has {len(loops)} loops where one over steps was expected")
        return loops[0].called("body")[0]

    def inside(self, fusion: Instruction) -> Iterator[tuple[str, Instruction]]:
        """The operations that are fused into a kernel, at any depth, each with its computation."""
        for name in fusion.called("calls"):
            for instruction in self.computations[name].values():
                yield name, instruction
                yield from self.inside(instruction)

    def kernels(self, computation: str) -> Iterator[tuple[str, Instruction]]:
        """What a computation runs, each with its computation: instructions, a fusion being one, loops and branches."""
        for instruction in self.computations[computation].values():
            yield computation, instruction
            kinds = ["branch_computations", "true_computation", "false_computation", "body"]
            for kind in kinds + ["to_apply"] * (instruction.opcode in CALLS):
                for name in instruction.called(kind):
                    yield from self.kernels(name)

    def collectives(self, computation: str) -> list[Collective]:
        """The exchanges between chips in a computation and all that it calls.

        A collective that is started and waited for counts once, and so does one that is fused with its result's user.
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
        """Names the kernels of a step that write an array of at least so many elements, such as all of the data."""
        return [
            instruction.name
            for _, instruction in self.kernels(self.body)
            if instruction.opcode not in FREE and any(array.size >= size for array in instruction.results)
        ]

    def products(self) -> "Products":
        """Finds the convolutions and matrix products of a program compiled for TPU.

        The compiler turns matrix products into convolutions. Each kernel that holds one names its layout on the matrix
        unit.
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
    """Where the convolutions and matrix products of a program are computed."""

    count: int  # on the matrix unit
    elsewhere: list[str]  # kernels that hold one, but not on the matrix unit
    taken_apart: list[str]  # JAX operations that became multiplications and sums


def parse(text: str) -> Program:
    """Reads the text of a compiled module, as `compiled.as_text()` gives it; raises ValueError if it has no entry."""
    computations, current, entry = {}, {}, None
    for line in text.splitlines():
        if header := _COMPUTATION.match(line):
            current = computations.setdefault(header[2], {})
            entry = header[2] if header[1] else entry
        elif found := _INSTRUCTION.match(line):
            name, type_, opcode, operands, attributes = found.groups()
            # Operands are names, with or without types before them; that of a parameter is its position.
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
    """Reads the groups of chips of an exchange, which stand in full or as a reshaped and transposed count."""
    if listed := re.search(r"replica_groups=\{(\{.*?\})\}", attributes):
        return tuple(tuple(map(int, group.split(","))) for group in re.findall(r"[\d,]*\d", listed[1]))
    if counted := re.search(r"replica_groups=\[(\d+,\d+)\]<=\[([\d,]+)\](?:T\(([\d,]+)\))?", attributes):
        shape, counts, order = (tuple(map(int, text.split(","))) if text else None for text in counted.groups())
        chips = np.arange(math.prod(counts)).reshape(counts).transpose(order).reshape(shape)
        return tuple(map(tuple, chips.tolist()))
    return ()


def reduced_sizes(found: Sequence[Collective]) -> Counter[int]:
    """Counts the arrays that are summed over chips, by their number of elements."""
    return Counter(array.size for c in found if c.kind == "all-reduce" for array in c.operands)
