"""Walks over trees, without recursion, for trees may be deep."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import cast

from cldfc.syntax import tree

Node = tree.Statement | tree.Expression | tree.Index


def children(node: object) -> Iterator[object]:
    """The trees directly inside a tree."""
    if not is_dataclass(node):
        return
    for part in (getattr(node, field.name) for field in fields(node) if field.compare):
        parts = cast("tuple[object, ...]", part) if isinstance(part, tuple) else (part,)
        yield from (child for child in parts if is_dataclass(child))


def nesting(root: Node) -> int:
    """How deep a tree is."""
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
        stack += reversed(list(children(node)))
    return found
