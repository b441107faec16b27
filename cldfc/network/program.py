"""A spec with its names resolved: constants, ranges, kernels, and equations as lists of steps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import count

from cldfc.diagnostics import Problems, Span
from cldfc.network.constants import Tags
from cldfc.network.names import Names
from cldfc.network.positions import LARGEST_FLOAT, Binding, Constant, Formula, IndexRange, Key, Position, Positions
from cldfc.ops import KernelStart, Operator
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
    `channels` are the first and the last channel that are taken of a value; `terms` has their places.
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
    channels: tuple[Formula, ...] = ()

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
    start: KernelStart = KernelStart()


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


@dataclass(frozen=True, slots=True)
class Scope:
    """What the index names of an expression stand for, over those of the equation; and the tag that says the level."""

    values: Mapping[str, Position]
    tag: tuple[tree.Index, ...]
    unknowns: Mapping[str, int] = field(default_factory=dict[str, int])
    """The steps that stand for what `fix` and `solve` look for, by their names."""

    def inside(self, name: str, position: Position) -> Scope:
        return replace(self, values={**self.values, name: position})

    def looking_for(self, name: str, step: int) -> Scope:
        return replace(self, unknowns={**self.unknowns, name: step})


@dataclass(frozen=True, slots=True)
class _Claim:
    """A name that the equations for one family of values want for something of theirs; `is_own` is `bn_r` for r."""

    wanted: str
    owner: tuple[str, int]
    is_own: bool


@dataclass
class OwnedNames:
    """Names for what the spec has no name for: the parameters of each `bn` or `linear`, the terms of a reduction.

    They come from what owns them, never from the order of statements. `bn_B` normalises what B gives, the second in
    one equation is `bn_B_2`. Where several families want a name, it is that of the family that it speaks of, `bn_r`
    for r, and the others add theirs: `bn_r_a`. Until all are known, each has a provisional name, with blanks in it.
    """

    taken: frozenset[str] = frozenset()
    counts: dict[_Claim, int] = field(default_factory=dict[_Claim, int])
    provisional: dict[str, tuple[_Claim, int]] = field(default_factory=dict[str, tuple[_Claim, int]])

    def claim(self, kind: str, head: str, owner: tuple[str, int], here: dict[str, int]) -> str:
        """A provisional name; `here` counts those that an equation has claimed so far."""
        wanted = f"{kind}_{head}" if head else kind
        number = here[wanted] = here.get(wanted, 0) + 1
        claim = _Claim(wanted, owner, head == owner[0])
        self.counts[claim] = max(number, self.counts.get(claim, 0))
        name = f"{wanted} {number} {owner[0]} {owner[1]}"
        self.provisional[name] = claim, number
        return name

    def wanted(self, name: str) -> str:
        """What a provisional name will be, if it can; others are what they are."""
        return self.provisional[name][0].wanted if name in self.provisional else name

    def settle(self, owners: Mapping[str, str]) -> dict[str, str]:
        """The name for each provisional one; `owners` has those of families without a name in the spec."""
        taken, bases = set(self.taken), dict[_Claim, str]()
        longer = {claim: f"{claim.wanted}_{owners.get(claim.owner[0], claim.owner[0])}" for claim in self.counts}
        own = {claim: claim.wanted for claim in self.counts if claim.is_own}
        for wishes in (own, {claim: claim.wanted for claim in self.counts}, longer):
            names = {c: self.numbered(wish, c) for c, wish in wishes.items() if c not in bases}
            asked = Counter(name for some in names.values() for name in some)
            won = [c for c, some in names.items() if all(asked[n] == 1 and n not in taken for n in some)]
            bases.update((claim, wishes[claim]) for claim in won)
            taken.update(name for claim in won for name in names[claim])
        left = self.counts.keys() - bases.keys()
        for claim in sorted(left, key=lambda claim: (claim.wanted, longer[claim], claim.owner[1])):
            free = (f"{longer[claim]}_{number}" for number in count(2))
            bases[claim] = next(base for base in free if taken.isdisjoint(self.numbered(base, claim)))
            taken.update(self.numbered(bases[claim], claim))
        return {name: self.numbered(bases[claim], claim)[at - 1] for name, (claim, at) in self.provisional.items()}

    def numbered(self, base: str, claim: _Claim) -> list[str]:
        """The names for all that a claim is for: `bn_r`, `bn_r_2`."""
        return [base, *(f"{base}_{number}" for number in range(2, self.counts[claim] + 1))]


@dataclass
class Words:
    """What the names in expressions mean: the same for all equations of a spec."""

    names: Names
    tags: Tags
    owned: OwnedNames
    parameters: Mapping[str, Declaration]
    ties: Mapping[str, TieRule]
    problems: Problems
    families: OwnedNames = field(default_factory=OwnedNames)
    inner: list[Template] = field(default_factory=list[Template])
    """The terms of reductions, as equations of their own."""

    def alone(self) -> Words:
        """The same for an expression that is only checked: it leaves no names and no terms behind."""
        return Words(self.names, self.tags, OwnedNames(), self.parameters, self.ties, self.problems)
