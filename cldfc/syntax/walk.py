"""Walks over trees, without recursion, for trees may be deep."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from functools import cache
from typing import cast

from cldfc.syntax import tree

Node = tree.Statement | tree.Expression | tree.Index


def children(node: object) -> list[object]:
    found: list[object] = []
    for name in parts_of(type(node)) or ():
        part: object = getattr(node, name)
        inside = cast("tuple[object, ...]", part) if isinstance(part, tuple) else (part,)
        found += [child for child in inside if parts_of(type(child)) is not None]
    return found


@cache
def parts_of(kind: type) -> tuple[str, ...] | None:
    """The fields of a tree that say what it is, not where it stands; None for a class that is not a tree."""
    return tuple(field.name for field in fields(kind) if field.compare) if is_dataclass(kind) else None


def nesting(root: Node) -> int:
    deepest = 0
    stack: list[tuple[object, int]] = [(root, 1)]
    while stack:
        node, depth = stack.pop()
        deepest = max(deepest, depth)
        stack += [(child, depth + 1) for child in children(node)]
    return deepest


def mentions(root: Node) -> list[tree.Symbol | tree.Index]:
    """The symbols and indices in a tree that name something, in the order of the text."""
    found: list[tree.Symbol | tree.Index] = []
    stack: list[object] = [root]
    while stack:
        node = stack.pop()
        if isinstance(node, tree.Symbol | tree.Index):
            found.append(node)
        stack += reversed(children(node))
    return found


def own_indices(statement: tree.Statement) -> set[str]:
    """The index names that a statement itself introduces: by `for`, or in a reduction."""
    clauses = statement.clauses if isinstance(statement, tree.Equation | tree.Tie) else ()
    return {clause.name for clause in clauses} | {found.name for found in reductions(statement)}


def reductions(root: Node) -> Iterator[tree.Reduction]:
    stack: list[object] = [root]
    while stack:
        node = stack.pop()
        if isinstance(node, tree.Reduction):
            yield node
        stack += children(node)
