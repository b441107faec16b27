"""A spec with its names resolved: constants, ranges, kernels, and equations as lists of steps.

An equation is kept as a template over its index names; `expand` puts the values in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from cldfc.diagnostics import Span
from cldfc.network.formula import Formula
from cldfc.network.limits import LARGEST_FLOAT
from cldfc.network.positions import Binding, Constant, IndexRange, Key, Position, Positions
from cldfc.ops import Operator
from cldfc.syntax import tree
from cldfc.syntax.format import format_symbol


@dataclass(frozen=True, slots=True)
class Read:
    """Another value, as an operand: `r@ℓ,i-1`."""

    family: str
    positions: Positions
    span: Span

    def keys(self, binding: Binding) -> list[Key]:
        """The value that it is at a choice of indices. Raises OutOfRange."""
        return [(self.family, tuple([position.value(binding) for position in self.positions]))]


@dataclass(frozen=True, slots=True)
class Reads:
    """Several values of one family, as the operands of a reduction: `x@ℓ,j` for j = 0..i-1."""

    family: str
    positions: Positions
    span: Span
    name: str
    lower: Position
    upper: Position

    def keys(self, binding: Binding) -> list[Key]:
        """The values that they are at a choice of indices. Raises OutOfRange."""
        turns = range(self.lower.value(binding), self.upper.value(binding) + 1)
        inner = dict(binding)
        keys: list[Key] = []
        for inner[self.name] in turns:
            keys.append((self.family, tuple([position.value(inner) for position in self.positions])))
        return keys


@dataclass(frozen=True, slots=True)
class Use:
    """A parameter where it is used: its name, its tag over the equation's index names, and that after `tie`."""

    name: str
    tag: Positions
    positions: Positions
    span: Span = tree.span_field()


@dataclass(frozen=True, slots=True)
class Call:
    """A use of a named operator: its tag, for the index names of its head, and of how many steps it is.

    `number` tells the uses in one equation apart. The operators inside another are none of their own.
    """

    name: str
    head: tuple[str, ...]
    tag: Positions
    number: int
    size: int
    span: Span


Operand = int | Read | Reads


@dataclass(frozen=True, slots=True)
class Step:
    """One operation of an equation; an integer operand is an earlier step's result.

    `terms` are the places of a sum's operands, `factor` is the number that a scaling multiplies with; its
    place is the only one of `terms` then. `statistics` are the running ones of this use of a shared normalisation.
    """

    operator: Operator
    operands: tuple[Operand, ...]
    use: Use | None
    span: Span
    terms: tuple[Span, ...] = ()
    factor: Formula | None = None
    statistics: Use | None = None
    call: Call | None = field(default=None, compare=False)
    """The use of a named operator that gives it."""

    def uses(self) -> list[Use]:
        """What it stores: its parameter, and its statistics."""
        return [use for use in (self.use, self.statistics) if use is not None]


@dataclass(frozen=True, slots=True)
class Template:
    """An equation as steps; its value is the last one's result, or a read; None: it is wrong, and reported."""

    statement: tree.Equation
    family: str
    left: Positions
    level: int
    ranges: Mapping[str, IndexRange]
    steps: tuple[Step, ...]
    result: int | Read | None
    is_inner: bool = False
    """The terms of a reduction, or what several equations share: there is no such equation in the spec."""
    is_rewritten: bool = False

    def reads(self) -> list[Read | Reads]:
        """The values that it needs, in the order of its steps."""
        found = [operand for step in self.steps for operand in step.operands if not isinstance(operand, int)]
        return [*found, self.result] if isinstance(self.result, Read) else found

    def label(self, left: Positions) -> str:
        """The left side as the spec writes it, or as it is here, for an equation that is not in the spec."""
        if not (self.is_inner or self.is_rewritten):
            return format_symbol(self.statement.left)
        return f"{self.family}@{','.join(map(str, left))}" if left else self.family


@dataclass(frozen=True, slots=True)
class Attribute:
    """A number that a kernel's or scalar's declaration gives, which may depend on its tag."""

    formula: Formula
    role: str
    least: float
    most: float
    span: Span

    @property
    def constant(self) -> int | float | None:
        """The number, if it is written outright; whether it fits was checked at its declaration."""
        leaf = self.formula.leaf
        return leaf if isinstance(leaf, int | float) else None

    @property
    def is_real(self) -> bool:
        """Whether it need not be a whole number."""
        return self.most == LARGEST_FLOAT

    def fits(self, value: int | float) -> bool:
        return (isinstance(value, int) or self.is_real) and self.least <= value <= self.most


@dataclass(frozen=True, slots=True)
class Declaration:
    """`kernel A@ℓ : 3×3 → c@ℓ` or `scalar ω@ℓ = 1`: what it says of its parameters' sizes, by their names.

    `transfer` says at which of two indices `R_ℓ^{ℓ+1}` is meant: 0, the lower, or 1, the upper one.
    """

    name: str
    indices: tuple[str, ...]
    attributes: Mapping[str, Attribute]
    statement: tree.KernelStatement | tree.Scalar
    transfer: int = 1


@dataclass(frozen=True, slots=True)
class TieRule:
    """`tie B@ℓ for i >= 1`: the places of the tag that stay, where each clause holds for the index at its place."""

    kept: tuple[int, ...]
    names: tuple[str, ...]
    clauses: tuple[IndexRange, ...]

    def holds(self, tag: tuple[int, ...]) -> bool:
        binding = dict(zip(self.names, tag, strict=True))
        return all(clause.contains(binding[clause.name], binding) for clause in self.clauses)


@dataclass(frozen=True, slots=True)
class Program:
    spec: tree.Tree
    model: str
    input: tree.InputStatement
    shape: tuple[int, ...]
    output: str
    classes: int
    output_span: Span
    constants: Mapping[str, Constant]
    ranges: Mapping[str, IndexRange]
    parameters: Mapping[str, Declaration]
    ties: Mapping[str, TieRule]
    templates: tuple[Template, ...]
    constraints: tuple[tuple[tree.Constrain, Positions], ...] = ()
    """Each with the positions of its tag: it speaks of the values that these stand for, or of all without a tag."""
