"""Walks over trees, without recursion, because trees may be deep; and indices in place of index names."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from functools import cache
from math import gcd
from typing import Any, TypeVar, cast

from cldfc.diagnostics import Span
from cldfc.syntax import tree

_Node = tree.Statement | tree.Expression | tree.Index


def children(node: object) -> list[object]:
    found: list[object] = []
    if isinstance(node, tree.Symbol) and not node.tag and not node.settings:
        return found  # as most are
    for name in _inner_parts(type(node)):
        part: object = getattr(node, name)
        if not part:
            continue  # as in most fields
        if isinstance(part, tuple):
            found += [child for child in cast("tuple[object, ...]", part) if parts_of(type(child)) is not None]
        elif parts_of(type(part)) is not None:
            found.append(part)
    return found


@cache
def parts_of(kind: type) -> tuple[str, ...] | None:
    """The fields of a tree that say what it is, not where it stands; None for a class that is not a tree."""
    return tuple(field.name for field in fields(kind) if field.compare) if is_dataclass(kind) else None


_PLAIN = frozenset({"str", "str | None", "int", "int | float", "bool"})


@cache
def _inner_parts(kind: type) -> tuple[str, ...]:
    """The fields that may hold trees: those that are not annotated as plain text or numbers."""
    if not is_dataclass(kind):
        return ()
    return tuple(field.name for field in fields(kind) if field.compare and field.type not in _PLAIN)


def nesting(root: _Node) -> int:
    deepest = 0
    stack: list[tuple[object, int]] = [(root, 1)]
    while stack:
        node, depth = stack.pop()
        deepest = max(deepest, depth)
        stack += [(child, depth + 1) for child in children(node)]
    return deepest


def mentions(root: _Node) -> list[tree.Symbol | tree.Index]:
    """The symbols and indices in a tree that name something, in the order of the text."""
    found: list[tree.Symbol | tree.Index] = []
    stack: list[object] = [root]
    while stack:
        node = stack.pop()
        if isinstance(node, (tree.Symbol, tree.Index)):
            found.append(node)
        stack += reversed(children(node))
    return found


def own_indices(statement: tree.Statement) -> set[str]:
    """The index names that a statement itself introduces: by `for`, or in a reduction."""
    clauses: tuple[tree.Clause, ...] = getattr(statement, "clauses", ())
    return {clause.name for clause in clauses} | {found.name for found in reductions(statement)}


def fixes(root: _Node) -> Iterator[tree.Fix]:
    """Each `fix` and `solve`."""
    stack: list[object] = [root]
    while stack:
        node = stack.pop()
        if isinstance(node, tree.Fix):
            yield node
        stack += children(node)


def reductions(root: _Node) -> Iterator[tree.Reduction]:
    stack: list[object] = [root]
    while stack:
        node = stack.pop()
        if isinstance(node, tree.Reduction):
            yield node
        stack += children(node)


# Trees are up to 200 levels deep: three calls for each level stay below Python's limit.
def changed_parts(node: object, change: Callable[[object], object]) -> dict[str, object]:
    """The parts of a tree that are others once `change` has been applied to each; it may give back what it gets."""
    found: dict[str, object] = {}
    for name in parts_of(type(node)) or ():
        part: object = getattr(node, name)
        if not part:
            continue
        if isinstance(part, tuple):
            new = _changed_members(cast("tuple[object, ...]", part), change)
        else:
            new = part if parts_of(type(part)) is None else change(part)
        if new is not part:
            found[name] = new
    return found


def _changed_members(parts: tuple[object, ...], change: Callable[[object], object]) -> tuple[object, ...]:
    new = [*parts]
    for at, part in enumerate(parts):
        if isinstance(part, tuple):
            new[at] = _changed_members(cast("tuple[object, ...]", part), change)
        elif parts_of(type(part)) is not None:
            new[at] = change(part)
    return tuple(new) if any(one is not other for one, other in zip(parts, new, strict=True)) else parts


def name_arguments(expression: tree.Expression, names: Collection[str]) -> tree.Expression:
    """An expression in which names without a tag stand for what an operator is applied to."""

    def named(node: object) -> object:
        match node:
            case tree.Symbol(name, (), span, ()) if name in names:
                return tree.Argument(name, span)
            case tree.Index():
                return node
            case _:
                return replace(cast(Any, node), **changed_parts(node, named))

    return cast(tree.Expression, named(expression)) if names else expression


def parts_within(root: _Node) -> Iterator[object]:
    """Every part of a tree, in the order of the text."""
    stack = children(root)[::-1]
    while stack:
        node = stack.pop()
        yield node
        stack += reversed(children(node))


def mentions_argument(expression: tree.Expression) -> bool:
    """Whether what an operator is applied to stands in an expression."""
    return any(isinstance(part, tree.Argument) for part in (expression, *parts_within(expression)))


Tree = TypeVar("Tree", bound=tree.Expression)

_Indices = Mapping[str, tree.Index]


def substitute_indices(expression: Tree, indices: _Indices) -> Tree:
    """The expression with indices in place of index names, in its tags and where they stand as numbers."""
    return cast(Tree, _substituted(expression, indices)) if indices else expression


def _substituted(node: object, indices: _Indices) -> object:
    match node:
        case tree.Index(str(name), None) if name in indices:
            return index_in_place(node, indices[name])
        case tree.Symbol(name, (), span) if name in indices:
            return index_as_number(indices[name], span)
        case _:
            return replace(cast(Any, node), **changed_parts(node, lambda part: _substituted(part, indices)))


def index_as_number(index: tree.Index, span: Span) -> tree.Expression:
    """An index as a number in a formula: `2`, `ℓ`, `ℓ+1`."""
    number: tree.Expression
    if index.name is None:
        number = tree.Number(index.offset, span)
    else:
        number = tree.Symbol(index.name, () if index.at is None else (index.at,), span)
        number = number if index.factor == 1 else tree.Star(tree.Number(index.factor, span), 1, number, span)
        if index.offset:
            sign = 1 if index.offset > 0 else -1
            number = tree.Sum((number, tree.Number(abs(index.offset), span)), (1, sign), span)
    return number if index.divisor == 1 else tree.Quotient(number, tree.Number(index.divisor, span), span)


def in_lowest_terms(index: tree.Index) -> tree.Index:
    """An index as (factor · name + offset) / divisor without a common divisor of the three."""
    factor = 0 if index.name is None else index.factor
    common = gcd(factor, index.offset, index.divisor)
    return replace(
        index,
        factor=1 if index.name is None else factor // common,
        offset=index.offset // common,
        divisor=index.divisor // common,
    )


def index_in_place(index: tree.Index, inner: tree.Index) -> tree.Index:
    """An index with another in place of its name: `2*k-1` with `i+1` for k is `2*i+1`."""
    factor, offset = index.factor * inner.factor, index.factor * inner.offset + index.offset * inner.divisor
    divisor = index.divisor * inner.divisor
    return in_lowest_terms(replace(inner, factor=factor, offset=offset, divisor=divisor, span=index.span))
