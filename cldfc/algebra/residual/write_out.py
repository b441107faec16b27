"""Equations with operators with named operands, `S@i(u@i-1, f)`, written out."""

from __future__ import annotations

from dataclasses import replace

from cldfc.algebra.infer import infer_network
from cldfc.algebra.residual import refusals
from cldfc.algebra.residual.vocabulary import Vocabulary, read_vocabulary, substitute, transform
from cldfc.diagnostics import Problems
from cldfc.network.resolve import Changes
from cldfc.network.shapes import Inferred
from cldfc.syntax import tree
from cldfc.syntax.walk import mentions, parts_within


def write_out(spec: tree.Tree, original: Inferred) -> tuple[tree.Tree, Inferred]:
    """A spec, and its network, in which no equation has an operator with named operands.

    A recursive operator with one operand, `M@1(f - A * u)`, stays as it is. Raises CldfError for a recursive one with
    several, if operands with parameters would be computed twice, and for values and sums that count in steps.
    """
    if refusal := refusals.counts_in_steps(spec):
        raise refusal
    words = read_vocabulary(spec, original.expansion.instances)
    if not any(let.arguments for let in words.lets.values()):
        return spec, original
    calls: list[tree.Expression] = []

    def change(part: object) -> object | None:
        match part:
            case tree.ApplyToSeveral(tree.Symbol(name) as symbol, arguments) if _has_operands(name, words):
                return written_out(part, symbol, arguments)
            case tree.Apply(tree.Symbol(name) as symbol, argument) if _has_operands(name, words):
                return written_out(part, symbol, (argument,))
            case tree.Compose(tree.Symbol(name) as symbol, argument) if _has_operands(name, words):
                return written_out(part, symbol, (argument,))
            case _:
                return None

    def written_out(
        call: tree.Expression, symbol: tree.Symbol, arguments: tuple[tree.Expression, ...]
    ) -> tree.Expression | None:
        calls.append(call)
        let = words.lets[symbol.name]
        inside = [part for value in let.values for part in mentions(value)]
        is_recursive = any(isinstance(part, tree.Symbol) and part.name == symbol.name for part in inside)
        if is_recursive or symbol.name in words.names.members:
            if len(arguments) == 1:
                return None
            kind = "it is defined by itself" if is_recursive else "it has several declarations"
            raise refusals.is_not_taken_apart(call, f"{kind}, and has several operands")
        body = let.values[0]
        given = {each.name: argument for each, argument in zip(let.arguments, arguments, strict=True)}
        used = [part.name for part in (body, *parts_within(body)) if isinstance(part, tree.Argument)]
        for name, argument in given.items():
            if used.count(name) > 1 and words.is_own(argument):
                raise refusals.is_not_taken_apart(call, "an operand that owns parameters is used several times in it")
        if any(_is_at_level(found, words) for found in mentions(body)):
            raise refusals.is_not_taken_apart(call, "a constant in it is that of the level at which it is used")
        indices = {head.name or "": index for head, index in zip(let.symbol.tag, symbol.tag, strict=True)}
        put = transform(
            substitute(body, indices), lambda part: given[part.name] if isinstance(part, tree.Argument) else None
        )
        return transform(put, change)

    statements = tuple(
        replace(statement, right=transform(statement.right, change))
        if isinstance(statement, tree.Equation)
        else statement
        for statement in spec.statements
    )
    written = replace(spec, statements=statements)
    problems = Problems()
    inferred = infer_network(written, Changes(), problems)
    problems.stop_if_any()
    if inferred.parameters.keys() != original.parameters.keys():
        raise refusals.is_not_taken_apart(calls[0], "its parameters would have other names")
    return written, inferred


def _has_operands(name: str, words: Vocabulary) -> bool:
    return name in words.lets and bool(words.lets[name].arguments)


def _is_at_level(found: tree.Symbol | tree.Index, words: Vocabulary) -> bool:
    """Whether a constant stands without its level, which is then that of the equation."""
    constants = words.tags.constants
    return isinstance(found, tree.Symbol) and not found.tag and constants.is_per_level(found.name)
