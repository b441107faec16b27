"""What the names of a spec mean, what makes two symbols the same, and trees built from them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, is_dataclass, replace
from fractions import Fraction
from functools import cached_property
from typing import Any, Literal, TypeVar, cast

from cldfc.algebra.linearity import biased_kernels, breaks, lets_of
from cldfc.diagnostics import Problems, Source, Span
from cldfc.network.constants import Constants, Tags
from cldfc.network.declarations import collect_names, resolve_parameters, resolve_ties
from cldfc.network.expand import Instance
from cldfc.network.names import Family, Kind, Names
from cldfc.network.positions import Binding, Lookup, Position, Positions
from cldfc.network.program import TieRule
from cldfc.ops import BUILTINS
from cldfc.syntax import tree
from cldfc.syntax.walk import changed_parts, index_as_number, index_in_place, mentions, reductions

NOWHERE = Span(Source("derived", ""), 0, 0)
"""The place of trees that nobody wrote."""

Indices = Mapping[str, tree.Index]
Node = TypeVar("Node")


@dataclass(frozen=True, slots=True)
class Signed:
    sign: Literal[1, -1]
    term: tree.Expression


def transform(node: Node, change: Callable[[object], object | None]) -> Node:
    """A tree in which the outermost parts for which `change` gives another are replaced."""
    changed = change(node)
    if changed is not None or not is_dataclass(node):
        return node if changed is None else cast(Node, changed)
    return cast(Node, replace(cast(Any, node), **changed_parts(node, lambda part: transform(part, change))))


def substitute(node: Node, indices: Indices) -> Node:
    """A tree with indices put in for index names, in tags and where an index is a number."""

    def change(part: object) -> object | None:
        match part:
            case tree.Index():
                return substitute_index(part, indices)
            case tree.Symbol(name, ()) if name in indices:
                return index_as_number(indices[name], NOWHERE)
            case tree.Reduction(_, name) if name in indices:
                return substitute(part, {other: at for other, at in indices.items() if other != name})
            case _:
                return None

    return transform(node, change) if indices else node


def substitute_index(index: tree.Index, indices: Indices) -> tree.Index:
    """One index of a tag with others put in for index names: `ℓ+1` for ℓ gives `ν@ℓ+1` for `ν@ℓ`."""
    if index.at is not None:
        return replace(index, at=substitute_index(index.at, indices))
    found = indices.get(index.name or "")
    return index if found is None else index_in_place(index, found)


def number_tree(value: int | Fraction) -> tree.Expression:
    """A number that is not negative, as a tree."""
    if value.denominator == 1:
        return tree.Number(int(value), NOWHERE)
    over, under = tree.Number(value.numerator, NOWHERE), tree.Number(value.denominator, NOWHERE)
    return tree.Quotient(over, under, NOWHERE)


def put_in(node: Node, name: str, arity: int, found: Callable[[tree.Symbol], tree.Expression]) -> Node:
    """A tree with an expression put in for each value of a family."""

    def change(part: object) -> object | None:
        if isinstance(part, tree.Symbol) and part.name == name and len(part.tag) == arity:
            return found(part)
        return None

    return transform(node, change)


def signed_terms(expression: tree.Expression, sign: Literal[1, -1] = 1) -> Iterator[Signed]:
    """The terms of a sum, and of sums inside it, without zeros."""
    match expression:
        case tree.Number(0):
            return
        case tree.Sum(terms, signs):
            for own, term in zip(signs, terms, strict=True):
                yield from signed_terms(term, own if sign > 0 else opposite(own))
        case _:
            yield Signed(sign, expression)


def opposite(sign: Literal[1, -1]) -> Literal[1, -1]:
    return -1 if sign > 0 else 1


def negated(terms: Sequence[Signed]) -> list[Signed]:
    return [Signed(opposite(part.sign), part.term) for part in terms]


def sum_tree(terms: Sequence[Signed]) -> tree.Expression:
    """A sum as a tree: its only term if there is one, 0 if there is none."""
    if not terms:
        return tree.Number(0, NOWHERE)
    if len(terms) == 1 and terms[0].sign > 0:
        return terms[0].term
    return tree.Sum(tuple(part.term for part in terms), tuple(part.sign for part in terms), NOWHERE)


@dataclass(frozen=True)
class Vocabulary:
    """The names of a spec that has been checked; `bound` are all its index names.

    `bindings` are the choices of their indices at which the network needs equations, by `id`.
    """

    spec: tree.Tree
    names: Names
    tags: Tags
    ties: dict[str, TieRule]
    lets: dict[str, tree.Let]
    biased: set[str]
    bound: frozenset[str]
    bindings: Mapping[int, Sequence[Binding]]

    @cached_property
    def summed(self) -> frozenset[str]:
        found = (reduction.name for equation in self.equations() for reduction in reductions(equation.right))
        return frozenset(found) - {s.name for s in self.spec.statements if isinstance(s, tree.Range)}

    def equations(self) -> list[tree.Equation]:
        return [statement for statement in self.spec.statements if isinstance(statement, tree.Equation)]

    def positions(self, symbol: tree.Symbol) -> Positions:
        """What a symbol's tag stands for, the same however it is written."""
        found = self.tags.positions(symbol, self.bound)
        assert found is not None, symbol
        return found

    def indices(self, expression: tree.Expression) -> Iterator[Position]:
        for found in mentions(expression):
            if isinstance(found, tree.Symbol):
                yield from [Position(found.name, 0)] if found.name in self.bound else self.positions(found)

    def parameter(self, symbol: tree.Symbol) -> Positions:
        """What is left of a kernel's or scalar's tag after `tie`; a `tie … for …` may leave it as it is."""
        rule, found = self.ties.get(symbol.name), self.positions(symbol)
        return found if rule is None or rule.clauses else tuple(found[place] for place in rule.kept)

    def values(self, expression: tree.Expression) -> Iterator[tree.Symbol]:
        for found in mentions(expression):
            if isinstance(found, tree.Symbol) and found.name not in BUILTINS and self.names.is_value(found):
                yield found

    def reads(self, expression: tree.Expression, family: Family) -> list[tree.Symbol]:
        return [found for found in self.values(expression) if family_of(found) == family]

    def needs(self, family: Family) -> set[Family]:
        found: set[Family] = set()
        open = [family]
        while open:
            at = open.pop()
            if at not in found:
                found.add(at)
                same = (equation for equation in self.equations() if family_of(equation.left) == at)
                open += [family_of(read) for equation in same for read in self.values(equation.right)]
        return found

    def is_multiplier(self, expression: tree.Expression) -> bool:
        """Whether an expression is a number, a scalar or a vector."""
        is_index = isinstance(expression, tree.Symbol) and expression.name in self.bound
        return is_index or self.names.is_factor(expression)

    def is_scalar(self, expression: tree.Expression) -> bool:
        """Whether an expression is a number or a scalar, or names a number for each image: all commute with kernels."""
        if isinstance(expression, tree.Symbol) and self.names.is_value(expression):
            return expression.name not in self.bound and not expression.settings
        return self.is_multiplier(expression) and self.names.kind(expression) is not Kind.VECTOR

    def is_map(self, function: tree.Expression) -> bool:
        """Whether an expression is a linear operator."""
        return self.names.kind(function) is not Kind.VALUE and self.is_linear(function)

    def can_expand(self, name: str) -> bool:
        """Whether a name is an operator with a single `let`, and without named operands."""
        let = self.lets.get(name)
        return let is not None and not let.arguments and name not in self.names.members

    def is_linear(self, function: tree.Expression) -> bool:
        return not self.what_breaks(function)

    def what_breaks(self, function: tree.Expression) -> tuple[str, ...]:
        return tuple(dict.fromkeys(breaks(function, self.lets, self.biased)))

    def is_own(self, expression: tree.Expression) -> bool:
        """Whether an expression differs from place to place: by parameters that each place owns, or at random."""
        open, seen = mentions(expression), set[str]()
        for found in open:
            if not isinstance(found, tree.Symbol):
                continue
            builtin = BUILTINS.get(found.name)
            if builtin is not None and not found.tag and (builtin.owns or not builtin.repeatable):
                return True
            if found.name in self.lets and found.name not in seen:
                seen.add(found.name)
                for value in self.lets[found.name].values:
                    open += mentions(value)
        return False


def read_vocabulary(spec: tree.Tree, instances: Sequence[Instance]) -> Vocabulary:
    """The vocabulary of a spec, which has been checked and expanded."""
    problems = Problems()
    names = collect_names(spec, problems)
    tags = Tags(Constants(names, problems), problems)
    for name, declaration in names.declared.items():
        if isinstance(declaration, tree.Range):
            tags.constants.range(name, declaration.name_span)
    ties = resolve_ties(names.ties, resolve_parameters(tags), tags)
    bindings: dict[int, list[Binding]] = {}
    for instance in instances:
        if not instance.template.is_inner:
            bindings.setdefault(id(instance.template.statement), []).append(instance.binding)
    return Vocabulary(
        spec, names, tags, ties, lets_of(spec), biased_kernels(spec), frozenset(_names_of_indices(names)), bindings
    )


def _names_of_indices(names: Names) -> Iterator[str]:
    yield from (name for name, declaration in names.declared.items() if isinstance(declaration, tree.Range))
    for equations in names.families.values():
        for equation in equations:
            yield from (i.name for i in equation.left.tag if i.name and not names.is_constant(i.name))
            yield from (reduction.name for reduction in reductions(equation.right))


def family_of(symbol: tree.Symbol) -> Family:
    return symbol.name, len(symbol.tag)


def depends_on(position: Position, name: str) -> bool:
    base = position.base
    return depends_on(base.at, name) if isinstance(base, Lookup) else base == name
