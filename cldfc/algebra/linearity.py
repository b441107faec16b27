"""Which operators are linear, the assumption of the paper's (3.1) and Theorem 1: the operators themselves say so."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from cldfc.ops import BUILTINS
from cldfc.syntax import tree
from cldfc.syntax.walk import mentions_argument, name_arguments


def operators_of(spec: tree.Tree) -> Iterator[tree.Let]:
    """The `let` statements of a spec that name operators."""
    lets = lets_of(spec)
    return (let for let in lets.values() if let.arguments or _is_operator(let.values[0], lets))


def what_breaks_linearity(let: tree.Let, spec: tree.Tree) -> tuple[str, ...]:
    """The built-in operators and other parts that keep an operator from being linear in its argument; none: it is.

    A kernel is linear, and so are compositions, sums and multiples of linear operators; a kernel with a bias, `linear`,
    which has one, normalisations and activations are not. An operator with several operands is linear if it is linear
    in all of them together.
    """
    symbol = tree.Symbol(let.symbol.name, let.symbol.tag, let.symbol.span)
    return tuple(dict.fromkeys(breaks(symbol, lets_of(spec), biased_kernels(spec))))


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
            let, others = lets.get(name), {other: let for other, let in lets.items() if other != name}
            return name in BUILTINS or (
                let is not None and (bool(let.arguments) or any(_is_operator(value, others) for value in let.values))
            )
        case tree.Star(_, _, right):
            return right is None or _is_operator(right, lets)
        case tree.Compose(_, inner) | tree.Apply(_, inner) | tree.Reduction(_, _, _, _, inner) | tree.Quotient(inner):
            return _is_operator(inner, lets)
        case tree.Sum(parts) | tree.Product(parts) | tree.Listing(_, parts):
            return any(_is_operator(part, lets) for part in parts)
        case _:
            return False


def breaks(expression: tree.Expression, lets: Mapping[str, tree.Let], biased: set[str]) -> Iterator[str]:
    """What breaks the linearity of an operator; a recursive one is as linear as the rest of its definition."""
    match expression:
        case tree.Symbol(name) if name in BUILTINS:
            if not BUILTINS[name].linear:
                yield name
        case tree.Symbol(name) if name in lets:
            let, place = lets[name], lets[name].symbol.span
            itself = replace(let, arguments=(), values=(tree.Symbol("identity", (), place),))
            inside = {**lets, name: itself}
            for value in let.values:
                if mentions_argument(value):
                    yield from _breaks_of_value(value, inside, biased)
                elif not let.arguments or _is_operator(value, inside):
                    yield from breaks(value, inside, biased)
                elif value != tree.Number(0, value.span):
                    yield "a constant term"
        case tree.Symbol(name) if name in biased:
            yield f"the bias of {name}"
        case tree.Product():
            yield "⊙"
        case tree.Listing("max" | "min" as word):
            yield word
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


def _breaks_of_value(expression: tree.Expression, lets: Mapping[str, tree.Let], biased: set[str]) -> Iterator[str]:
    """The same for the right side of an operator with named operands, which must be linear in all of them together."""
    match expression:
        case tree.ApplyToSeveral(tree.Symbol("unpool"), (pooled, chosen)) if not mentions_argument(chosen):
            yield from _breaks_of_value(pooled, lets, biased)
        case tree.Fix(name, body, other):
            for side in (body, other):
                if side is not None and mentions_argument(named := name_arguments(side, [name])):
                    yield from _breaks_of_value(named, lets, biased)
                elif side is not None and side != tree.Number(0, side.span):
                    yield "a constant term"
        case tree.Sum(parts) | tree.Listing("sum" | "concat", parts) | tree.ApplyToSeveral(_, parts):
            for part in parts:
                if mentions_argument(part):
                    yield from _breaks_of_value(part, lets, biased)
                elif part != tree.Number(0, part.span):
                    yield "a constant term"
            if isinstance(expression, tree.ApplyToSeveral):
                yield from breaks(expression.function, lets, biased)
        case tree.Compose(function, inner) | tree.Apply(function, inner):
            yield from breaks(function, lets, biased)
            yield from _breaks_of_value(inner, lets, biased)
        case tree.Star(left, _, right) if right is not None and not mentions_argument(left):
            yield from breaks(left, lets, biased) if isinstance(left, tree.Symbol) else ()
            yield from _breaks_of_value(right, lets, biased)
        case tree.Star(one, _, other) | tree.Pairing(one, other) if other is not None:
            yield from _breaks_of_product((one, other), _SIGNS.get(type(expression), "*"), lets, biased)
        case tree.Product(parts):
            yield from _breaks_of_product(parts, "⊙", lets, biased)
        case tree.Quotient(above, below):
            yield from ("/",) if mentions_argument(below) else _breaks_of_value(above, lets, biased)
        case tree.Norm():
            yield "‖·‖"
        case tree.Power():
            yield "^"
        case tree.Listing(word):
            yield word
        case tree.Reduction(_, _, _, _, body):
            yield from _breaks_of_value(body, lets, biased)
        case _:
            return


_SIGNS: Mapping[type, str] = {tree.Pairing: "⟨·,·⟩"}


def _breaks_of_product(
    parts: Sequence[tree.Expression], sign: str, lets: Mapping[str, tree.Let], biased: set[str]
) -> Iterator[str]:
    """A product is linear in one of its factors, if the others do not depend on it."""
    depending = [part for part in parts if mentions_argument(part)]
    if len(depending) > 1:
        yield sign
    for part in depending:
        yield from _breaks_of_value(part, lets, biased)
