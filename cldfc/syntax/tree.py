"""The tree of a spec: one frozen dataclass per form, each with the place where it stands.

Trees have no behaviour. Spans take no part in equality: two specs that say the same are equal.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from cldfc.diagnostics import Source, Span


def place() -> Span:
    """A span field: remembered, but not compared."""
    return field(compare=False, repr=False)  # pyright: ignore[reportReturnType]


# Expressions


@dataclass(frozen=True, slots=True)
class Index:
    """One index of a tag: `2`, `ℓ`, `i-1`, `ν`, `ν@ℓ+1`. A plain integer has no name."""

    name: str | None
    at: Index | None
    offset: int
    span: Span = place()


@dataclass(frozen=True, slots=True)
class Symbol:
    """A name, with its tag if it has one: `σ`, `A@ℓ`, `r@ℓ+1,0`."""

    name: str
    tag: tuple[Index, ...]
    span: Span = place()


@dataclass(frozen=True, slots=True)
class Number:
    """A literal number."""

    value: int | float
    span: Span = place()


@dataclass(frozen=True, slots=True)
class Star:
    """`K * x`, `K *_2 x`, and the operators `K * g` and `K *`, which has no right side."""

    left: Expression
    stride: int
    right: Expression | None
    span: Span = place()


@dataclass(frozen=True, slots=True)
class Compose:
    """`g ∘ h` and `g ∘ x`."""

    outer: Expression
    inner: Expression
    span: Span = place()


@dataclass(frozen=True, slots=True)
class Apply:
    """`g(x)`."""

    function: Expression
    argument: Expression
    span: Span = place()


@dataclass(frozen=True, slots=True)
class Sum:
    """`x + y - z`: the terms and the sign before each."""

    terms: tuple[Expression, ...]
    signs: tuple[Literal[1, -1], ...]
    span: Span = place()


Expression = Symbol | Number | Star | Compose | Apply | Sum


# Statements


@dataclass(frozen=True, slots=True)
class Model:
    """`model NAME`."""

    name: str
    span: Span = place()


@dataclass(frozen=True, slots=True)
class Range:
    """`levels ℓ = 1..J` and `steps i = 1..ν`."""

    kind: Literal["levels", "steps"]
    name: str
    lower: Expression
    upper: Expression
    name_span: Span = place()
    span: Span = place()


@dataclass(frozen=True, slots=True)
class Let:
    """`let x = 3`, `let c@ℓ = 64, 128`, `let σ = relu ∘ bn`."""

    symbol: Symbol
    values: tuple[Expression, ...]
    span: Span = place()


@dataclass(frozen=True, slots=True)
class Input:
    """`input f : C × H × W`."""

    name: str
    shape: tuple[Expression, ...]
    name_span: Span = place()
    span: Span = place()


@dataclass(frozen=True, slots=True)
class Output:
    """`output h : n`."""

    name: str
    classes: Expression
    name_span: Span = place()
    span: Span = place()


@dataclass(frozen=True, slots=True)
class Kernel:
    """`kernel K@tag : 3×3 → c@ℓ`, or `3×3, cin → cout`."""

    symbol: Symbol
    height: Expression
    width: Expression
    channels_in: Expression | None
    channels_out: Expression
    span: Span = place()


@dataclass(frozen=True, slots=True)
class Equation:
    """`r@ℓ,i = …`."""

    left: Symbol
    right: Expression
    span: Span = place()


Statement = Model | Range | Let | Input | Output | Kernel | Equation


@dataclass(frozen=True, slots=True)
class Spec:
    """A whole file."""

    statements: tuple[Statement, ...]
    source: Source = field(compare=False, repr=False)
