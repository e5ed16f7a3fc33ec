"""A compiled program, read from XLA's text: its instructions, and what one training step exchanges and moves."""

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

BYTES = {"pred": 1, "s4": 0.5, "u4": 0.5, "s8": 1, "u8": 1, "bf16": 2, "f16": 2, "s16": 2, "u16": 2}
BYTES |= {"f32": 4, "s32": 4, "u32": 4, "f64": 8, "s64": 8, "u64": 8, "c64": 8, "c128": 16}
ON_CHIP = "S(1)"  # in a TPU's layout: this array lives in vector memory, not in HBM
COLLECTIVES = ("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute", "collective-broadcast")
PRODUCTS = ("convolution", "dot")
# Instructions that name arrays or views of them, and move nothing.
FREE = {"parameter", "constant", "tuple", "get-tuple-element", "bitcast", "while", "conditional", "call", "after-all"}
FREE |= {"partition-id", "replica-id"}

_COMPUTATION = re.compile(r"^(ENTRY )?%?([\w.\-]+) \(.*\{$")
_INSTRUCTION = re.compile(r"^\s+(?:ROOT )?%?([\w.\-]+) = (.*?) ([a-z][a-z\-]*)\(([^)]*)\)(.*)$")
_ARRAY = re.compile(r"(\w+)\[([\d,]*)\](?:\{([^}]*)\})?")


@dataclass(frozen=True)
class Array:
    """One array of a program."""

    dtype: str
    size: int  # elements
    on_chip: bool

    @property
    def bytes(self) -> float:
        """Its size in bytes, without the padding of its layout."""
        return self.size * BYTES.get(self.dtype, 0)


@dataclass(frozen=True)
class Instruction:
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

    @cached_property
    def branches(self) -> tuple[str, ...]:
        """The computations of which a conditional runs one."""
        return self.called("branch_computations") or self.called("true_computation") + self.called("false_computation")

    @property
    def origin(self) -> str:
        """The path of the JAX operation that it comes from."""
        found = re.search(r'op_name="([^"]*)"', self.attributes)
        return found[1] if found else ""

    @property
    def cycles(self) -> int:
        """The TPU compiler's estimate of its cycles; 0 without one."""
        found = re.search(r'"estimated_cycles":"(\d+)"', self.attributes)
        return int(found[1]) if found else 0


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

    def kernels(self, computation: str, *, every_branch: bool = False) -> Iterator[tuple[str, Instruction]]:
        """Lists what a computation runs: its instructions, a fusion being one, and those of the loops it holds.

        Args:
          computation: its name.
          every_branch: whether to list all branches of a conditional, or only the costliest by the compiler's estimate.

        Yields:
          The computation of an instruction, and the instruction.
        """
        for instruction in self.computations[computation].values():
            yield computation, instruction
            branches = [list(self.kernels(name, every_branch=every_branch)) for name in instruction.branches]
            if branches and not every_branch:
                branches = [max(branches, key=lambda b: (sum(i.cycles for _, i in b), len(b)))]
            for branch in branches:
                yield from branch
            for name in instruction.called("body") + instruction.called("to_apply") * (instruction.opcode == "call"):
                yield from self.kernels(name, every_branch=every_branch)


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
            current[name] = Instruction(name, opcode, _arrays(type_), names, attributes)
    if entry is None:
        raise ValueError("this is not the text of a compiled program: no entry")
    header = text.split("\n", 1)[0]
    alias = re.search(r"input_output_alias=\{(.*?)\}, entry_computation_layout", header)
    outputs = re.findall(r"\{(\d*)\}: \(\d+,", alias[1]) if alias else []
    return Program(computations, entry, frozenset(int(o or 0) for o in outputs))


def _arrays(type_: str) -> tuple[Array, ...]:
    return tuple(
        Array(dtype, math.prod(int(n) for n in dims.split(",") if n), ON_CHIP in layout)
        for dtype, dims, layout in _ARRAY.findall(type_)
    )


@dataclass(frozen=True)
class Collective:
    """One exchange between the chips."""

    kind: str
    operands: tuple[Array, ...]
    sources: tuple[str, ...] = ()  # the kinds of instruction that its operands come from

    @property
    def bytes(self) -> float:
        """What each chip sends."""
        return sum(a.bytes for a in self.operands)

    @property
    def serves_a_crossing(self) -> bool:
        """Whether it only scatters parts of a slice's sum to its chips, or gathers those from other slices."""
        return (self.kind, set(self.sources)) in [("collective-permute", {"all-reduce"}), ("all-gather", {"recv-done"})]


def collectives(program: Program, computation: str) -> list[Collective]:
    """Lists the exchanges between chips in a computation and all that it calls.

    A collective that is started and waited for counts once, and so does one that is fused with the user of its result.
    """
    return [
        Collective(i.opcode.removesuffix("-start"), _operands(program, scope, i), _sources(program, scope, i))
        for outer, kernel in program.kernels(computation, every_branch=True)
        for scope, i in [(outer, kernel), *program.inside(kernel)]
        if i.opcode.removesuffix("-start") in COLLECTIVES
    ]


def crossings(program: Program, computation: str) -> list[Collective]:
    """Lists the exchanges between slices of TPUs, one for each array that a chip's host sends over the network."""
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
    taken_apart: list[str]  # JAX operations that became multiplications and sums


def products(program: Program) -> Products:
    """Finds the convolutions and matrix products of a program compiled for TPU.

    The compiler turns matrix products into convolutions. Each kernel that holds one names its layout on the matrix
    unit.
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

    A fusion is one kernel. Arrays in a chip's vector memory are left out. Of an array that is only gathered from, only
    what is gathered counts. The padding of layouts is not counted, so this is a lower bound.
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
    """Names the kernels in a computation that write an array of at least so many elements, such as all of the data."""
    return [
        instruction.name
        for _, instruction in program.kernels(computation)
        if instruction.opcode not in FREE and any(a.size >= size for a in instruction.results)
    ]
