"""What stands side by side: a number or scalar before something multiplies it, an operator is applied to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar, cast

from cldfc.syntax import tree
from cldfc.syntax.tag import read_subscripts
from cldfc.syntax.walk import own_indices, parts_of

_Node = TypeVar("_Node")


def read_in_context(
    own: Sequence[tree.Statement], inherited: Sequence[tree.Statement] = ()
) -> tuple[tree.Statement, ...]:
    """Statements with their subscripts read, and with products of scalars as such, for what all of them declare."""
    statements = read_subscripts(own, inherited)
    known = _Multiples()
    for statement in (*inherited, *statements):
        match statement:
            case tree.Range(_, name) | tree.Scalar(tree.Symbol(name)):
                known.names.add(name)
            case tree.Let(tree.Symbol(name), values):
                known.lets[name] = values[0]
            case _:
                pass
    return tuple(known.statement(statement) for statement in statements)


@dataclass
class _Multiples:
    names: set[str] = field(default_factory=set[str])
    """Of indices and scalars, and of the constants and operators that are found to be multiples."""
    lets: dict[str, tree.Expression] = field(default_factory=dict[str, tree.Expression])

    def statement(self, statement: tree.Statement) -> tree.Statement:
        own = own_indices(statement) - self.names
        return (replace(self, names=self.names | own) if own else self).read(statement)

    def read(self, node: _Node) -> _Node:
        if isinstance(node, tuple):
            return cast(_Node, tuple(self.read(part) for part in cast("tuple[object, ...]", node)))
        names = parts_of(type(node))
        if names is None or isinstance(node, tree.Index):
            return node
        parts = {name: getattr(node, name) for name in names}
        changed = {name: new for name, part in parts.items() if (new := self.read(part)) is not part and new != part}
        whole = replace(cast(Any, node), **changed) if changed else node
        match whole:
            case tree.Compose(outer, inner, span) | tree.Apply(outer, inner, span) if self.is_multiple(outer):
                return cast(_Node, tree.Star(outer, 1, inner, span))
            case _:
                return cast(_Node, whole)

    def is_multiple(self, expression: tree.Expression) -> bool:
        """Whether an expression is made of numbers, indices and scalars alone."""
        match expression:
            case tree.Number():
                return True
            case tree.Symbol(name) if name in self.lets:
                # A name in its own definition is none.
                if self.is_multiple(self.lets.pop(name)):
                    self.names.add(name)
                return name in self.names
            case tree.Symbol(name):
                return name in self.names
            case tree.Sum(parts) | tree.Product(parts):
                return all(map(self.is_multiple, parts))
            case tree.Quotient(one, other) | tree.Power(one, other):
                return self.is_multiple(one) and self.is_multiple(other)
            case tree.Star(left, _, right):
                return right is not None and self.is_multiple(left) and self.is_multiple(right)
            case tree.Apply(_, inner) | tree.Compose(_, inner):
                return self.is_multiple(inner)
            case _:
                return False
