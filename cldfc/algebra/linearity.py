"""Which operators are linear, the assumption of the paper's (3.1) and Theorem 1: the operators themselves say so."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from cldfc.ops import BUILTINS
from cldfc.syntax import tree


def operators_of(spec: tree.Tree) -> Iterator[tree.Let]:
    """The `let` statements of a spec that name operators."""
    lets = lets_of(spec)
    return (let for let in lets.values() if _is_operator(let.values[0], lets))


def what_breaks_linearity(let: tree.Let, spec: tree.Tree) -> tuple[str, ...]:
    """The built-in operators and other parts by which an operator is not linear in its argument; none: it is linear.

    A kernel is linear, and so are compositions, sums and multiples of what is linear; a kernel
    with a bias, `linear`, which has one, normalisations and activations are not.
    """
    return tuple(dict.fromkeys(breaks(let.values[0], lets_of(spec), biased_kernels(spec))))


def lets_of(spec: tree.Tree) -> dict[str, tree.Let]:
    """Each `let` by its name; of several declarations the first, with what all of them say."""
    found: dict[str, tree.Let] = {}
    for statement in spec.statements:
        if isinstance(statement, tree.Let):
            first = found.get(statement.symbol.name)
            found[statement.symbol.name] = (
                replace(first, values=(*first.values, *statement.values)) if first else statement
            )
    return found


def biased_kernels(spec: tree.Tree) -> set[str]:
    return {s.symbol.name for s in spec.statements if isinstance(s, tree.KernelStatement) and s.has_bias}


def _is_operator(expression: tree.Expression, lets: Mapping[str, tree.Let]) -> bool:
    """Whether an expression is an operator, not a number; the spec has been checked."""
    match expression:
        case tree.Symbol(name):
            return name in BUILTINS or (name in lets and _is_operator(lets[name].values[0], lets))
        case tree.Star(_, _, right):
            return right is None or _is_operator(right, lets)
        case tree.Compose(_, inner) | tree.Apply(_, inner) | tree.Reduction(_, _, _, _, inner) | tree.Quotient(inner):
            return _is_operator(inner, lets)
        case tree.Sum(parts) | tree.Product(parts) | tree.Listing(_, parts):
            return any(_is_operator(part, lets) for part in parts)
        case _:
            return False


def breaks(expression: tree.Expression, lets: Mapping[str, tree.Let], biased: set[str]) -> Iterator[str]:
    match expression:
        case tree.Symbol(name) if name in BUILTINS:
            if not BUILTINS[name].linear:
                yield name
        case tree.Symbol(name) if name in lets:
            for value in lets[name].values:
                yield from breaks(value, lets, biased)
        case tree.Symbol(name) if name in biased:
            yield f"the bias of {name}"
        case tree.Product():
            yield "⊙"
        case tree.Star(left, _, right):
            yield from breaks(left, lets, biased) if isinstance(left, tree.Symbol) else ()
            yield from () if right is None else breaks(right, lets, biased)
        case tree.Quotient(above):
            yield from breaks(above, lets, biased)
        case tree.Compose(outer, inner) | tree.Apply(outer, inner):
            yield from breaks(outer, lets, biased)
            yield from breaks(inner, lets, biased)
        case tree.Sum(parts) | tree.Listing(_, parts):
            for part in parts:
                yield from breaks(part, lets, biased) if _is_operator(part, lets) else ("a constant term",)
        case tree.Reduction(_, _, _, _, body):
            yield from breaks(body, lets, biased)
        case _:
            return
