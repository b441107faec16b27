"""Indices: what stands in a tag, over the index names of an equation; per-level constants; ranges."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cldfc.diagnostics import Span

if TYPE_CHECKING:
    from cldfc.network.formula import Formula

Binding = Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Constant:
    """A compile-time number, or one for each value of an index, from `lower` on."""

    name: str
    index: str | None
    lower: int
    values: tuple[int | float, ...]
    span: Span
    formula: Formula | None = field(default=None, compare=False)
    """What the values are computed from, over the index."""

    def at(self, position: int) -> int | float | None:
        """The value at a position; None outside the range."""
        if self.index is None:
            return self.values[0]
        if 0 <= position - self.lower < len(self.values):
            return self.values[position - self.lower]
        return None


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
        base = self.base
        if base is None:
            return self.offset
        if isinstance(base, str):
            return binding[base] + self.offset
        position = base.at.value(binding)
        value = base.constant.at(position)
        if value is None:
            raise OutOfRange(base.constant, position)
        return int(value) + self.offset

    def substitute(self, values: Mapping[str, Position]) -> Position:
        match self.base:
            case str(name) if name in values:
                return values[name].shifted(self.offset)
            case Lookup(constant, at):
                return Position(Lookup(constant, at.substitute(values)), self.offset)
            case _:
                return self

    def shifted(self, by: int) -> Position:
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
        self.missing = f"`{constant.name}@{position}`"


Positions = tuple[Position, ...]


def bind(positions: Positions, indices: tuple[int, ...]) -> dict[str, int] | None:
    """The values of the index names for which positions stand for these indices; None when there are none.

    `ℓ+1,0` stands for `2,0` at ℓ = 1, and for `2,1` nowhere.
    """
    binding: dict[str, int] = {}
    for position, index in zip(positions, indices, strict=True):
        if isinstance(position.base, str):
            if binding.setdefault(position.base, index - position.offset) != index - position.offset:
                return None
    try:
        for position, index in zip(positions, indices, strict=True):
            if not isinstance(position.base, str) and position.value(binding) != index:
                return None
    except OutOfRange:
        return None
    return binding


Key = tuple[str, tuple[int, ...]]
"""A value or a parameter: its name and the values of its tag."""


def format_key(key: Key) -> str:
    """`r@2,0`."""
    name, indices = key
    return f"{name}@{','.join(map(str, indices))}" if indices else name


@dataclass(frozen=True, slots=True)
class IndexRange:
    """`levels ℓ = 1..J`: the values that an index name takes; they may depend on the level.

    `is_explicit` ranges come from a `for`; their ends may be open, and depend on any index.
    """

    kind: str
    name: str
    lower: Position | None
    upper: Position | None
    level: str | None
    span: Span
    is_explicit: bool = False

    def contains(self, value: int, binding: Binding) -> bool:
        """Whether the index takes a value, given the values of the indices that the range depends on."""
        lower = value if self.lower is None else self.lower.value(binding)
        return lower <= value <= (value if self.upper is None else self.upper.value(binding))
