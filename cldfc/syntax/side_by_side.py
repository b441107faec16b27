"""What stands side by side: a number or scalar before something multiplies it, an operator is applied to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from cldfc.syntax import tree
from cldfc.syntax.tag import read_subscripts
from cldfc.syntax.walk import changed_parts, own_indices


def read_in_context(
    own: Sequence[tree.Statement], inherited: Sequence[tree.Statement] = ()
) -> tuple[tree.Statement, ...]:
    """Statements with their subscripts read, and with products of scalars as such, for what all of them declare."""
    statements = read_subscripts(own, inherited)
    known = _Multiples.of([*inherited, *statements])
    return tuple(known.statement(statement) for statement in statements)


@dataclass(frozen=True)
class _Multiples:
    """The names of indices and scalars, and of the constants and operators that are made of such."""

    names: set[str]

    @staticmethod
    def of(statements: Sequence[tree.Statement]) -> _Multiples:
        """Those that statements declare; a `let` may need one that stands below it."""
        found = _Multiples({s.name for s in statements if isinstance(s, tree.Range)})
        found.names.update(s.symbol.name for s in statements if isinstance(s, tree.Scalar))
        left = {s.symbol.name: s.values[0] for s in statements if isinstance(s, tree.Let)}
        before = -1
        while len(left) != before:
            before = len(left)
            found.names.update(name for name, value in left.items() if found.is_multiple(value))
            left = {name: value for name, value in left.items() if name not in found.names}
        return found

    def statement(self, statement: tree.Statement) -> tree.Statement:
        own = own_indices(statement) - self.names
        return cast(tree.Statement, (_Multiples(self.names | own) if own else self).read(statement))

    def read(self, node: object) -> object:
        if isinstance(node, tree.Index | tree.Number) or (isinstance(node, tree.Symbol) and not node.settings):
            return node
        changed = changed_parts(node, self.read)
        whole = replace(cast(Any, node), **changed) if changed else node
        match whole:
            case tree.Compose(outer, inner, span) | tree.Apply(outer, inner, span) if self.is_multiple(outer):
                return tree.Star(outer, 1, inner, span)
            case _:
                return whole

    def is_multiple(self, expression: tree.Expression) -> bool:
        """Whether an expression is made of numbers, indices and scalars alone."""
        match expression:
            case tree.Number():
                return True
            case tree.Symbol(name):
                return name in self.names
            case tree.Sum(parts) | tree.Product(parts) | tree.Listing(_, parts):
                return all(map(self.is_multiple, parts))
            case tree.Quotient(one, other) | tree.Power(one, other):
                return self.is_multiple(one) and self.is_multiple(other)
            case tree.Star(left, _, right):
                return right is not None and self.is_multiple(left) and self.is_multiple(right)
            case tree.Apply(_, inner) | tree.Compose(_, inner):
                return self.is_multiple(inner)
            case _:
                return False
