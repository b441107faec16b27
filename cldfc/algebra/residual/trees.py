"""Trees → trees: indices put in for index names, expressions put in for values, sums written and taken apart."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from fractions import Fraction
from typing import Any, Literal, TypeVar, cast

from cldfc.diagnostics import Source, Span
from cldfc.syntax import tree

NOWHERE = Span(Source("derived", ""), 0, 0)
"""Where trees stand that nobody wrote."""

Indices = Mapping[str, tree.Index]
Node = TypeVar("Node")


@dataclass(frozen=True, slots=True)
class Signed:
    sign: Literal[1, -1]
    term: tree.Expression


def transform(node: Node, change: Callable[[object], object | None]) -> Node:
    """A tree with every outermost part replaced for which `change` gives another."""
    changed = change(node)
    if changed is not None or not is_dataclass(node):
        return node if changed is None else cast(Node, changed)
    updates: dict[str, object] = {}
    for field in fields(node):
        value = getattr(node, field.name)
        if field.compare and isinstance(value, tuple):
            updates[field.name] = tuple(transform(part, change) for part in cast("tuple[object, ...]", value))
        elif field.compare and is_dataclass(value):
            updates[field.name] = transform(value, change)
    return cast(Node, replace(cast(Any, node), **updates))


def substitute(node: Node, indices: Indices) -> Node:
    """A tree with indices put in for index names, in tags and where an index is a number."""

    def change(part: object) -> object | None:
        match part:
            case tree.Index():
                return substitute_index(part, indices)
            case tree.Symbol(name, ()) if name in indices:
                return index_as_number(indices[name])
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
    return index if found is None else replace(found, offset=found.offset + index.offset)


def index_as_number(index: tree.Index) -> tree.Expression:
    """An index as a number in an expression: `ℓ+1`."""
    if index.name is None:
        return number_tree(index.offset)
    symbol = tree.Symbol(index.name, () if index.at is None else (index.at,), index.span)
    if not index.offset:
        return symbol
    sign = 1 if index.offset > 0 else -1
    return tree.Sum((symbol, number_tree(abs(index.offset))), (1, sign), NOWHERE)


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
    """The terms of a sum, also of sums in it; zeros are none."""
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
