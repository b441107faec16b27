"""Puts indices in for index names: `r@ℓ,i-1` at ℓ = 1 is `r@1,i-1`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeVar, cast

from cldfc.diagnostics import Span
from cldfc.syntax import tree
from cldfc.syntax.walk import parts_of

Tree = TypeVar("Tree", bound=tree.Expression)

Indices = Mapping[str, tree.Index]


def substitute_indices(expression: Tree, indices: Indices) -> Tree:
    """The expression with indices in place of index names, in its tags and where they stand as numbers."""
    return cast(Tree, substituted(expression, indices)) if indices else expression


def substituted(node: object, indices: Indices) -> object:
    match node:
        case tuple():
            return tuple(substituted(part, indices) for part in cast("tuple[object, ...]", node))
        case tree.Index(str(name), None, offset) if name in indices:
            return replace(indices[name], offset=indices[name].offset + offset, span=node.span)
        case tree.Symbol(name, (), span) if name in indices:
            return index_as_number(indices[name], span)
        case _:
            names = parts_of(type(node))
            if names is None:
                return node
            parts = {name: substituted(getattr(node, name), indices) for name in names}
            return replace(cast(Any, node), **parts)


def index_as_number(index: tree.Index, span: Span) -> tree.Expression:
    """An index as a number in a formula: `2`, `ℓ`, `ℓ+1`."""
    if index.name is None:
        return tree.Number(index.offset, span)
    symbol = tree.Symbol(index.name, () if index.at is None else (index.at,), span)
    if not index.offset:
        return symbol
    return tree.Sum((symbol, tree.Number(abs(index.offset), span)), (1, 1 if index.offset > 0 else -1), span)
