"""A spec with its names resolved: constants, ranges, kernels, and equations as lists of steps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from typing import NamedTuple

from cldfc.diagnostics import Problems, Span
from cldfc.network.constants import Tags
from cldfc.network.names import Names
from cldfc.network.positions import (
    LARGEST_FLOAT,
    Binding,
    Case,
    Constant,
    Formula,
    IndexRange,
    Key,
    Position,
    Positions,
    holding_cases,
    tag_function,
)
from cldfc.ops import KernelStart, Operator
from cldfc.ops.size import OpenShape, open_names
from cldfc.record import record
from cldfc.syntax import tree
from cldfc.syntax.format import format_symbol


@record
class Read:
    """Another value, as an operand: `r@ℓ,i-1`."""

    family: str
    positions: Positions
    span: Span
    tag_at: Callable[[Binding], tuple[int, ...]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "tag_at", tag_function(self.positions))

    def keys(self, binding: Binding) -> list[Key]:
        """The value that it is at a choice of indices. Raises OutOfRange, NotWhole."""
        return [(self.family, self.tag_at(binding))]


@record
class Reads:
    """Several values of one family, as the operands of a reduction: `x@ℓ,j` for j = 0..i-1."""

    family: str
    positions: Positions
    span: Span
    name: str
    lower: Position
    upper: Position
    by: int = 1
    tag_at: Callable[[Binding], tuple[int, ...]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "tag_at", tag_function(self.positions))

    def keys(self, binding: Binding) -> list[Key]:
        """The values that they are at a choice of indices. Raises OutOfRange, NotWhole."""
        way = 1 if self.by > 0 else -1
        turns = range(self.lower.value(binding), self.upper.value(binding) + way, self.by)
        inner = dict(binding)
        keys: list[Key] = []
        for inner[self.name] in turns:
            keys.append((self.family, self.tag_at(inner)))
        return keys


@record
class Use:
    """A parameter where it is used: its name, its tag over the equation's index names, and that after `tie`."""

    name: str
    tag: Positions
    positions: Positions
    span: Span = tree.span_field()
    tag_at: Callable[[Binding], tuple[int, ...]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "tag_at", tag_function(self.tag))

    def key(self, binding: Binding) -> Key:
        """Its name and tag, before `tie`, at a choice of indices. Raises OutOfRange, NotWhole."""
        return self.name, self.tag_at(binding)


@dataclass(eq=False, slots=True)
class Call:
    """A use of a named operator: its tag, the index names of its head with what they are here, and its number of steps.

    A use inside another one is part of that, unless its operator is recursive: then it is a `Call`, too, and has an
    `outer` one.
    """

    name: str
    tag: Positions
    values: Mapping[str, Position]
    span: Span
    statement: tree.Let
    outer: Call | None
    is_recursive: bool
    size: int = 0

    def chain(self) -> list[Call]:
        """The calls that it is in, the outermost first, and itself."""
        return [*(self.outer.chain() if self.outer else ()), self]


Operand = int | Read | Reads


@record
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
    settings: tuple[tuple[str, Formula], ...] = ()
    """Settings of the operator that differ between choices of the index names: its module knows them, or its call."""

    @property
    def in_call(self) -> Formula | None:
        """The setting of its call, where that differs between choices of the index names."""
        return dict(self.settings).get(self.operator.of_call or "")

    def uses(self) -> list[Use]:
        """What it stores: its parameter, and its statistics."""
        return [use for use in (self.use, self.statistics) if use is not None]


def needed_steps(steps: Sequence[Step], body: Operand) -> set[int]:
    """The steps that a value needs, by their numbers."""
    found, stack = set[int](), [body]
    while stack:
        at = stack.pop()
        if isinstance(at, int) and at not in found:
            found.add(at)
            stack += steps[at].operands
    return found


def keep_steps(steps: Sequence[Step], result: int | Read) -> tuple[tuple[Step, ...], int | Read, tuple[int, ...]]:
    """The steps that a value needs, the value among them, and the number that each of them had before."""
    order = sorted(needed_steps(steps, result))
    if len(order) == len(steps):
        return tuple(steps), result, tuple(order)
    places = {at: place for place, at in enumerate(order)}
    operands = [tuple(places[o] if isinstance(o, int) else o for o in steps[at].operands) for at in order]
    kept = tuple(replace(steps[at], operands=own) for at, own in zip(order, operands, strict=True))
    return kept, places[result] if isinstance(result, int) else result, tuple(order)


@record
class Turns:
    """Some choices of index names."""

    names: tuple[str, ...]
    values: frozenset[tuple[int, ...]]

    def __contains__(self, binding: Binding) -> bool:
        return tuple([binding[name] for name in self.names]) in self.values


@record
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
    """Whether it is not in the spec: the terms of a reduction, or what several equations share."""
    is_rewritten: bool = False
    turns: Turns | None = None
    """For which of its indices it holds, where an operator has several declarations and this is one reading of it."""
    lacks: Use | None = None
    """The use of an operator, if any, that no declaration covers at these indices."""
    readings: tuple[Template, ...] = ()
    """The readings that were merged in it, which differ only in settings of modules and calls."""
    reads: tuple[Read | Reads, ...] = field(init=False, repr=False, compare=False)
    """The values that it needs, in the order of its steps."""

    def __post_init__(self) -> None:
        found = [operand for step in self.steps for operand in step.operands if not isinstance(operand, int)]
        found += [self.result] if isinstance(self.result, Read) else []
        object.__setattr__(self, "reads", tuple(found))

    @property
    def numbers(self) -> int:
        """How many numbers and constants stand on its left: of two equations for a value the one with more wins."""
        return sum(not isinstance(position.base, str) for position in self.left)

    def label(self, left: Positions) -> str:
        """The left side as the spec writes it, or as it is here, for an equation that is not in the spec."""
        if not (self.is_inner or self.is_rewritten):
            return format_symbol(self.statement.left)
        return f"{self.family}@{','.join(map(str, left))}" if left else self.family


@record
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


@record
class Declaration:
    """`kernel A@ℓ : 3×3 → c@ℓ` or `scalar ω@ℓ = 1`: what it says of its parameters' sizes, by their names.

    `transfer` says at which of two indices `R_ℓ^{ℓ+1}` is meant: 0, the lower, or 1, the upper one. Of several
    declarations of one name, `cases`, each has its `case`; the most general one stands for all.
    """

    name: str
    indices: tuple[str, ...]
    attributes: Mapping[str, Attribute]
    statement: tree.KernelStatement | tree.Scalar
    transfer: int = 1
    start: KernelStart = KernelStart()
    rules: tuple[tree.KernelRule, ...] = ()
    case: Case | None = None
    cases: tuple[Declaration, ...] = ()

    def at(self, tag: tuple[int, ...]) -> Declaration | None:
        """The declaration that holds for a tag; None where there is none."""
        if not self.cases:
            return self
        holding = holding_cases([case for each in self.cases if (case := each.case) is not None], tag)
        return self.cases[holding[0]] if holding else None

    def every(self) -> tuple[Declaration, ...]:
        return self.cases or (self,)

    def binding(self, tag: tuple[int, ...]) -> dict[str, int]:
        """The values of its index names for a tag."""
        if self.case is not None:
            return self.case.binding(tag) or {}
        return dict(zip(self.indices, tag, strict=True))


@record
class TieRule:
    """`tie B@ℓ for i >= 1`: the places of the tag that stay, where each clause holds for the index at its place."""

    kept: tuple[int, ...]
    names: tuple[str, ...]
    clauses: tuple[IndexRange, ...]

    def holds(self, tag: tuple[int, ...]) -> bool:
        binding = dict(zip(self.names, tag, strict=True))
        return all(clause.contains(binding[clause.name], binding) for clause in self.clauses)


@record
class InputFamily:
    """An input: one value, or one for each value of its index, with their shapes.

    `kind` is empty for a single one; over `levels` it is a list of tensors, over `steps` one tensor, a sequence.
    A number for each image is given as a vector of one, and has no size here.
    """

    statement: tree.InputStatement
    kind: str
    shapes: Mapping[Key, OpenShape]

    @property
    def name(self) -> str:
        return self.statement.name

    @property
    def keys(self) -> list[Key]:
        return list(self.shapes)

    @property
    def given_shapes(self) -> list[OpenShape]:
        """The shapes of its members behind the batch, as `forward` takes them."""
        return [shape or (1,) for shape in self.shapes.values()]

    @property
    def is_map(self) -> bool:
        return len(self.statement.shape) > 1

    @property
    def count(self) -> int:
        return len(self.shapes)

    @property
    def arity(self) -> int:
        return len(self.statement.symbol.tag)


@record
class OutputValue:
    """An output: scores of classes, other numbers, or a map."""

    name: str
    shape: OpenShape
    is_scores: bool
    span: Span

    @property
    def key(self) -> Key:
        return self.name, ()


@record
class Program:
    spec: tree.Tree
    model: str
    inputs: tuple[InputFamily, ...]
    outputs: tuple[OutputValue, ...]
    constants: Mapping[str, Constant]
    ranges: Mapping[str, IndexRange]
    parameters: Mapping[str, Declaration]
    ties: Mapping[str, TieRule]
    templates: tuple[Template, ...]
    constraints: tuple[tuple[tree.Constrain, Positions], ...] = ()
    """Each with the positions of its tag: it speaks of the values that these stand for, or of all without a tag."""

    @property
    def with_strides(self) -> set[str]:
        """The kernels whose stride differs from turn to turn of a loop, so that each module is made with its own."""
        steps = (step for template in self.templates if template.readings for step in template.steps)
        return {step.use.name for step in steps if step.use is not None and "stride" in dict(step.settings)}

    def without_shared_strides(self, strides: Mapping[Key, set[object]]) -> Program | None:
        """The same with each reading of an equation by itself, where a kernel in a loop is used with two strides.

        None where there is no such kernel.
        """
        if not any(key[0] in self.with_strides and len(found) > 1 for key, found in strides.items()):
            return None
        templates = (reading for template in self.templates for reading in template.readings or (template,))
        return replace(self, templates=tuple(templates))

    @property
    def input_keys(self) -> list[Key]:
        return [key for family in self.inputs for key in family.shapes]

    @property
    def output_keys(self) -> list[Key]:
        return [output.key for output in self.outputs]

    @property
    def shape(self) -> OpenShape:
        """That of the first input."""
        return self.inputs[0].shapes[self.input_keys[0]]

    @property
    def dimension(self) -> int:
        """1 for signals, 2 for images, 3 for volumes."""
        return next((len(family.statement.shape) - 1 for family in self.inputs if family.is_map), 2)

    @property
    def classes(self) -> int | None:
        """How many numbers `linear` gives by itself: as many as outputs that are vectors have, where they agree."""
        lengths = {output.shape[0] for output in self.outputs if len(output.shape) == 1}
        length = lengths.pop() if len(lengths) == 1 else None
        return length if isinstance(length, int) else None

    @property
    def scores(self) -> int | None:
        """The number of classes, where an output is scores of them."""
        found = next((output.shape[0] for output in self.outputs if output.is_scores), None)
        return found if isinstance(found, int) else None

    @property
    def open_sizes(self) -> list[str]:
        """The names of the sizes that the inputs leave open."""
        return open_names(size for family in self.inputs for shape in family.shapes.values() for size in shape)


@record
class Scope:
    """What the index names of an expression stand for, over those of the equation; and the tag that says the level."""

    values: Mapping[str, Position]
    tag: tuple[tree.Index, ...]
    arguments: Mapping[str, int | Read | None] = field(default_factory=dict[str, "int | Read | None"])
    """What the operands of an operator stand for, where they have names; None: it is wrong, and reported."""

    unknowns: Mapping[str, int] = field(default_factory=dict[str, int])
    """The steps that stand for what `fix` and `solve` look for, by their names."""

    def inside(self, name: str, position: Position) -> Scope:
        return replace(self, values={**self.values, name: position})

    def looking_for(self, name: str, step: int) -> Scope:
        return replace(self, unknowns={**self.unknowns, name: step})


class _Claim(NamedTuple):
    """A name that the equations of one family want for something they own; `is_own` if it names them, `bn_r` for r."""

    wanted: str
    owner: tuple[str, int]
    is_own: bool


@dataclass
class OwnedNames:
    """Names for what the spec has no name for: the parameters of each `bn` or `linear`, the terms of a reduction.

    They come from what owns them, never from the order of statements. `bn_B` normalises what B gives, the second in
    one equation is `bn_B_2`. If several families want a name, the one that it names gets it, `bn_r` for r, and the
    others append their own: `bn_r_a`. Until all are known, each has a provisional name, with blanks in it.
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
        """What a provisional name will be if nothing else wants it; other names are unchanged."""
        return self.provisional[name][0].wanted if name in self.provisional else name

    def settle(self, owners: Mapping[str, str]) -> dict[str, str]:
        """The name for each provisional one; `owners` has those of families without a name in the spec."""
        taken, given, left = set(self.taken), dict[_Claim, list[str]](), [*self.counts]

        def longer(claim: _Claim) -> str:
            return f"{claim.wanted}_{owners.get(claim.owner[0], claim.owner[0])}"

        wishes: tuple[Callable[[_Claim], str | None], ...] = (
            lambda claim: claim.wanted if claim.is_own else None,
            lambda claim: claim.wanted,
            longer,
        )
        for wish in wishes:
            names = {c: self.numbered(base, c) for c in left if (base := wish(c)) is not None}
            asked = Counter(name for some in names.values() for name in some)
            refused = taken.union([name for name, many in asked.items() if many > 1])
            won = {claim: some for claim, some in names.items() if refused.isdisjoint(some)}
            given |= won
            taken.update(name for some in won.values() for name in some)
            left = [claim for claim in left if claim not in won]
        for claim in sorted(left, key=lambda claim: (claim.wanted, longer(claim), claim.owner[1])):
            free = (self.numbered(f"{longer(claim)}_{number}", claim) for number in count(2))
            given[claim] = next(names for names in free if taken.isdisjoint(names))
            taken.update(given[claim])
        return {name: given[claim][at - 1] for name, (claim, at) in self.provisional.items()}

    def numbered(self, base: str, claim: _Claim) -> list[str]:
        """The names for all that a claim is for: `bn_r`, `bn_r_2`."""
        return [base, *[f"{base}_{number}" for number in range(2, self.counts[claim] + 1)]]


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
