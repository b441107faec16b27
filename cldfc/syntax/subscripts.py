"""What a subscript is: the index in `x_n`, or a part of the name, as in `f_in`.

A text cannot say it of itself; the declarations of the whole spec do. An index below a name is a tag: `x_n` is
`x@n`. So is a number or a constant below the name of something tagged, `x_0` and `ν_J`, unless that is a name of its
own. Anything else belongs to the name: `S_\\theta` is `S_θ`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar, cast

from cldfc.syntax import tree
from cldfc.syntax.spelling import ACCENTS, canonical_name
from cldfc.syntax.walk import own_indices, parts_of

Node = TypeVar("Node")


def read_subscripts(
    own: Sequence[tree.Statement], inherited: Sequence[tree.Statement] = ()
) -> tuple[tree.Statement, ...]:
    """Statements with their subscripts as tags or as parts of names, for what they and inherited ones declare."""
    if not any("_" in statement.span.text for statement in own):
        return tuple(own)
    known = Subscripts.of([*inherited, *own])
    return tuple(known.statement(s) if "_" in s.span.text else s for s in own)


@dataclass
class Subscripts:
    """What the statements of a spec declare, as far as a subscript may mean it."""

    indices: set[str] = field(default_factory=set[str])
    names: set[str] = field(default_factory=set[str])
    """What is declared, and so is what it is called."""
    tagged: set[str] = field(default_factory=set[str])
    constants: set[str] = field(default_factory=set[str])
    """What could be an index as well: a `let`, unless it is a fraction, or a fixed scalar."""

    @staticmethod
    def of(statements: Iterable[tree.Statement]) -> Subscripts:
        found, lefts, statements = Subscripts(), list[tree.Symbol](), list(statements)
        for statement in statements:
            match statement:
                case tree.Range(_, name):
                    found.indices.add(name)
                case tree.InputStatement(name) | tree.Output(name):
                    found.names.add(name)
                case tree.Let(symbol, values) if not any(map(is_fraction, values)):
                    found.constants.add(symbol.name)
                case _:
                    pass
        for statement in statements:
            match statement:
                case tree.Let(symbol) | tree.KernelStatement(symbol) | tree.Scalar(symbol):
                    symbol = found.joined(found.with_index(symbol))
                    found.names.add(symbol.name)
                    found.tagged |= {symbol.name} if symbol.tag else set()
                case tree.Equation(symbol):
                    lefts.append(found.joined(found.bound_in(statement).with_index(symbol)))
                case _:
                    pass
        found.tagged |= {left.name for left in lefts if left.tag}
        written = {(left.name, left.tag) for left in lefts}
        for left in lefts:
            base, below = split_name(left.name)
            number = found.index(below, left) if below.isdecimal() else None
            if not left.tag and (number is None or base not in found.tagged or (base, (number,)) in written):
                found.names.add(left.name)
        return found

    def bound_in(self, statement: tree.Statement) -> Subscripts:
        """The same with the indices that a statement itself introduces, by `for` or in a sum."""
        own = own_indices(statement)
        return replace(self, indices=self.indices | own) if own - self.indices else self

    def statement(self, statement: tree.Statement) -> tree.Statement:
        """A statement with its subscripts read; what `rename` speaks of has the names that it has."""
        return statement if isinstance(statement, tree.Rename) else self.bound_in(statement).read(statement)

    def read(self, node: Node) -> Node:
        if isinstance(node, tuple):
            return cast(Node, tuple(self.read(part) for part in cast("tuple[object, ...]", node)))
        names = parts_of(type(node))
        if names is None:
            return node
        parts = {name: getattr(node, name) for name in names}
        changed = {name: new for name, part in parts.items() if (new := self.read(part)) is not part and new != part}
        whole = cast(Node, replace(cast(Any, node), **changed)) if changed else node
        match whole:
            case tree.Symbol():
                return cast(Node, self.joined(self.with_constant(self.with_index(whole))))
            case tree.Index(str(name)):
                base, below = split_name(name)
                if whole.at is None and name not in self.names | self.indices and base in self.tagged:
                    inner = self.index(below, whole)
                    return cast(Node, replace(whole, name=base, at=inner)) if inner is not None else whole
                return whole
            case _:
                return whole

    def with_index(self, symbol: tree.Symbol) -> tree.Symbol:
        """`x_n` as `x@n`, where n is an index."""
        base, below = split_name(symbol.name)
        if base is None or symbol.name in self.names or canonical_name(below) not in self.indices:
            return symbol
        index = tree.Index(canonical_name(below), None, 0, symbol.span)
        return replace(symbol, name=base, tag=(index, *symbol.tag))

    def with_constant(self, symbol: tree.Symbol) -> tree.Symbol:
        """`x_0` as `x@0`, and `x_K` as `x@K`, where x has a tag and `x_0` is undefined."""
        base, below = split_name(symbol.name)
        if base not in self.tagged or symbol.name in self.names:
            return symbol
        index = self.index(below, symbol)
        return symbol if index is None else replace(symbol, name=base, tag=(index, *symbol.tag))

    def index(self, below: str, place: tree.Symbol | tree.Index) -> tree.Index | None:
        name = canonical_name(below)
        if below.isdecimal() and len(below) < 10:
            return tree.Index(None, None, int(below), place.span)
        return tree.Index(name, None, 0, place.span) if name in self.indices | self.constants else None

    def joined(self, symbol: tree.Symbol) -> tree.Symbol:
        r"""`S_\theta` as the name `S_θ`, where θ is not an index and nothing that could be one."""
        if not symbol.tag or not is_below(symbol.tag[0]):
            return symbol
        first = symbol.tag[0]
        if (
            first.at is not None
            or first.offset
            or "_" in (first.name or "")
            or first.name in {"ℓ", *self.indices, *self.constants}
        ):
            return symbol
        return replace(symbol, name=f"{symbol.name}_{first.name}", tag=symbol.tag[1:])


def is_fraction(value: tree.Expression) -> bool:
    return isinstance(value, tree.Number) and isinstance(value.value, float)


def is_below(index: tree.Index) -> bool:
    r"""Whether a name is written as LaTeX's subscript: `_\theta`, `_{\theta}`, and alone there."""
    text, place = index.span.source.text, index.span
    before, after = text[: place.start].rstrip(" \t"), text[place.end : place.end + 1]
    is_alone = before.endswith("_") or (before.endswith("{") and before[:-1].rstrip().endswith("_") and after == "}")
    return index.name is not None and is_alone


def split_name(name: str) -> tuple[str | None, str]:
    """A name before its last `_`, and what stands behind it; `tilde_r` is a letter with an accent."""
    base, _, below = name.rpartition("_")
    return (base, below) if base and below and base not in ACCENTS else (None, "")
