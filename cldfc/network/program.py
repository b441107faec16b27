"""A spec with its names resolved: constants, ranges, kernels, and equations as lists of steps.

An equation is kept as a template over its index names; `expand` puts the values in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cldfc.diagnostics import Span
from cldfc.ops import Operator
from cldfc.syntax import tree

Binding = Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Constant:
    """A compile-time number, or one for each value of an index, from `lower` on."""

    name: str
    index: str | None
    lower: int
    values: tuple[int | float, ...]
    span: Span

    def at(self, position: int) -> int | float | None:
        """The value at a position; None outside the range."""
        if self.index is None:
            return self.values[0]
        if 0 <= position - self.lower < len(self.values):
            return self.values[position - self.lower]
        return None

    def help_for_values(self) -> str:
        """Where it has values, as a help for those who asked elsewhere."""
        last = self.lower + len(self.values) - 1
        return f"`{self.name}` has values for {self.index} = {self.lower}..{last}; stay inside, or declare more levels"


@dataclass(frozen=True, slots=True)
class Lookup:
    """A per-level constant at a position: `ν@ℓ+1`."""

    constant: Constant
    at: Position


@dataclass(frozen=True, slots=True)
class Position:
    """One index of a tag: an index name or a constant, if any, plus an integer."""

    base: str | Lookup | None
    offset: int

    def value(self, binding: Binding) -> int:
        """The integer that it stands for. KeyError: an index name without a value.

        Raises OutOfRange when a constant has no value there.
        """
        match self.base:
            case None:
                return self.offset
            case str(name):
                return binding[name] + self.offset
            case Lookup(constant, at):
                position = at.value(binding)
                value = constant.at(position)
                if value is None:
                    raise OutOfRange(constant, position)
                return int(value) + self.offset

    def substitute(self, values: Mapping[str, Position]) -> Position:
        """The same with positions put in for index names."""
        match self.base:
            case str(name) if name in values:
                return values[name].shifted(self.offset)
            case Lookup(constant, at):
                return Position(Lookup(constant, at.substitute(values)), self.offset)
            case _:
                return self

    def shifted(self, by: int) -> Position:
        """The same plus an integer."""
        return Position(self.base, self.offset + by)

    def __str__(self) -> str:
        match self.base:
            case None:
                return str(self.offset)
            case str(name):
                base = name
            case Lookup(constant, _):
                base = constant.name
        return f"{base}{self.offset:+d}" if self.offset else base


class OutOfRange(Exception):
    """A per-level constant was asked for a level that it has no value for."""

    def __init__(self, constant: Constant, position: int) -> None:
        super().__init__(constant, position)
        self.constant = constant
        self.position = position


Positions = tuple[Position, ...]


@dataclass(frozen=True, slots=True)
class IndexRange:
    """`levels ℓ = 1..J`: the values that an index name takes; they may depend on the level."""

    kind: str
    name: str
    lower: Position
    upper: Position
    level: str | None
    span: Span

    def contains(self, value: int, level: int) -> bool:
        """Whether the index takes a value at a level."""
        binding = {self.level: level} if self.level else {}
        return self.lower.value(binding) <= value <= self.upper.value(binding)


@dataclass(frozen=True, slots=True)
class Read:
    """Another value, as an operand: `r@ℓ,i-1`."""

    family: str
    positions: Positions
    span: Span


@dataclass(frozen=True, slots=True)
class Use:
    """A parameter where it is used: its name, and its tag over the equation's index names."""

    name: str
    positions: Positions
    span: Span = tree.place()


@dataclass(frozen=True, slots=True)
class Step:
    """One operation of an equation; an integer operand is an earlier step's result.

    `terms` are the places of a sum's operands.
    """

    operator: Operator
    operands: tuple[int | Read, ...]
    use: Use | None
    span: Span
    terms: tuple[Span, ...] = ()


@dataclass(frozen=True, slots=True)
class Template:
    """An equation as steps; its value is the last one's result, or a read."""

    statement: tree.Equation
    family: str
    left: Positions
    level: int
    steps: tuple[Step, ...]
    result: int | Read

    def reads(self) -> list[Read]:
        """The values that it needs, in the order of its steps."""
        found = [operand for step in self.steps for operand in step.operands if isinstance(operand, Read)]
        return [*found, self.result] if isinstance(self.result, Read) else found


@dataclass(frozen=True, slots=True)
class KernelDeclaration:
    """`kernel A@ℓ : 3×3 → c@ℓ`, with positions for the numbers that may depend on the tag."""

    name: str
    indices: tuple[str, ...]
    size: int
    channels_in: Position | None
    channels_out: Position
    statement: tree.Kernel


@dataclass(frozen=True, slots=True)
class Program:
    """A whole spec, resolved."""

    spec: tree.Spec
    model: str
    input: tree.Input
    shape: tuple[int, ...]
    output: str
    classes: int
    output_span: Span
    constants: Mapping[str, Constant]
    ranges: Mapping[str, IndexRange]
    kernels: Mapping[str, KernelDeclaration]
    templates: tuple[Template, ...]
