"""Reading a compiled program: XLA's text of it, as instructions, and what of them runs in one step."""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

BYTES = {"pred": 1, "s4": 0.5, "u4": 0.5, "s8": 1, "u8": 1, "bf16": 2, "f16": 2, "s16": 2, "u16": 2}
BYTES |= {"f32": 4, "s32": 4, "u32": 4, "f64": 8, "s64": 8, "u64": 8, "c64": 8, "c128": 16}
ON_CHIP = "S(1)"  # in a TPU's layout: this array lives in vector memory, not in HBM

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
        """What it holds, without the padding of its layout."""
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
        """What the TPU compiler thinks it takes; 0 where it does not say."""
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
        """The operations that are fused into a kernel, at any depth, each with the computation that it stands in."""
        for name in fusion.called("calls"):
            for instruction in self.computations[name].values():
                yield name, instruction
                yield from self.inside(instruction)

    def kernels(self, computation: str, *, every_branch: bool = False) -> Iterator[tuple[str, Instruction]]:
        """Lists what a computation runs: its instructions, a fusion being one, and those of the loops it holds.

        Args:
          computation: its name.
          every_branch: whether to list all branches of a conditional, or only the costliest, by the compiler's
            estimate.

        Yields:
          The computation that an instruction stands in, and the instruction.
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
    """Reads the text of a compiled module.

    Args:
      text: as ``compiled.as_text()`` gives it.

    Returns:
      The program.

    Raises:
      ValueError: if it has no entry.
    """
    computations, current, entry = {}, {}, None
    for line in text.splitlines():
        if header := _COMPUTATION.match(line):
            current = computations.setdefault(header[2], {})
            entry = header[2] if header[1] else entry
        elif found := _INSTRUCTION.match(line):
            name, type_, opcode, operands, attributes = found.groups()
            names = (operands,) if opcode == "parameter" else _names(operands)  # a parameter's is its place
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


def _names(operands: str) -> tuple[str, ...]:
    """Operands by name, whether or not their types stand before them."""
    return tuple(re.findall(r"%([\w.\-]+)", operands))
