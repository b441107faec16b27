"""The residual form as a self-contained spec, with its parameters under their old names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from cldfc.algebra.residual.definition import Definition
from cldfc.algebra.residual.derivation import DerivedEquation
from cldfc.algebra.residual.vocabulary import NOWHERE, Indices, family_of, substitute_index, sum_tree
from cldfc.diagnostics import Problems, Source, Span
from cldfc.network.cost import QUANTITIES
from cldfc.network.numbers import Tag
from cldfc.network.positions import Lookup, Position
from cldfc.network.program import Program, Template, Use
from cldfc.network.shapes import Inferred
from cldfc.ops import Kernel, WithScalar
from cldfc.syntax import tree
from cldfc.syntax.arrange import format_source
from cldfc.syntax.format import format_expression, format_statement, format_symbol
from cldfc.syntax.parse import parse_spec
from cldfc.syntax.walk import mentions


def keep_names(entries: Sequence[DerivedEquation], derived: Program, program: Program) -> list[tree.Rename]:
    """The `rename`s that give each parameter of the residual form its name in the spec; `program` is the spec's.

    The normalisations of an equation are those of its origins, one after the other.
    """
    found: list[tree.Rename] = []
    equations = [s for s in derived.spec.statements if isinstance(s, tree.Equation)]
    for equation, entry in zip(equations, entries, strict=True):
        new = _owned_by(equation, derived, {})
        old = [symbol for origin in entry.origins for symbol in _owned_by(origin.equation, program, origin.indices)]
        found += [tree.Rename(*pair, NOWHERE) for pair in zip(new, old, strict=True)]
    # A `rename` concerns all parameters of a name with the same number of indices: if one has moved, each gets its own.
    moved = {family_of(rename.old) for rename in found if rename.old != rename.new}
    return list(dict.fromkeys(rename for rename in found if family_of(rename.old) in moved))


def _owned_by(equation: tree.Equation, program: Program, indices: Indices) -> Iterator[tree.Symbol]:
    """The normalisations with their statistics, and the linear layers of an equation, in their order.

    `indices` are what stands for its index names.
    """
    for template in program.templates:
        if template.statement is equation:
            for step in template.steps:
                for use in [] if isinstance(step.operator, Kernel | WithScalar) else step.uses():
                    yield tree.Symbol(use.name, _tag_of(use, template, indices), NOWHERE)


def _tag_of(use: Use, template: Template, indices: Indices) -> Tag:
    """The tag of a parameter: as its equation has it on the left, with `J` rather than 3, if it is the same."""
    if use.positions == template.left and not template.is_inner:
        return tuple(substitute_index(index, indices) for index in template.statement.left.tag)
    return tuple(_index_at(position, indices) for position in use.positions)


def _index_at(position: Position, indices: Mapping[str, tree.Index]) -> tree.Index:
    match position.base:
        case None:
            return tree.Index(None, None, position.offset, NOWHERE, divisor=position.divisor)
        case Lookup(constant, at):
            own = _index_at(at, indices)
            return tree.Index(constant.name, own, position.offset, NOWHERE, position.factor, position.divisor)
        case name:
            index = tree.Index(name, None, position.offset, NOWHERE, position.factor, position.divisor)
            return substitute_index(index, indices)


DERIVED = "derived by cldfc"
"""What the first line of a derived file says."""

_SUFFIX = "_residual"


def write_spec(
    definition: Definition,
    entries: Sequence[DerivedEquation],
    renames: Sequence[tree.Rename] = (),
    expects: Sequence[tree.Expect] = (),
) -> tree.Tree:
    """The spec of these equations, with the declarations that they need, and these names and expectations."""
    statements = [*outline_spec(definition, entries, renames).statements, *expects]
    lines = [_header(definition), *paragraphs(statements)]
    name = definition.words.spec.source.name
    text = format_source(Source(name, "".join(f"{line}\n" for line in lines)))
    return parse_spec(Source(name, text), Problems())


def outline_spec(
    definition: Definition, entries: Sequence[DerivedEquation], renames: Sequence[tree.Rename] = ()
) -> tree.Tree:
    """The same before it is written: its places are those of the spec that it is derived from."""
    return tree.Tree(tuple(_kept_statements(definition, entries, renames)), definition.words.spec.source)


def _header(definition: Definition) -> str:
    words, head = definition.words, definition.head
    name = "".join(c if c.isprintable() else "?" for c in Path(words.spec.source.name).name)
    residuals = (
        f"{format_symbol(each.residual(head))} = {format_expression(sum_tree(each.at(head)))}"
        for each in definition.every
    )
    return f"# Residual form of {name}, {DERIVED}: Theorem 1 with {', '.join(residuals)}"


def paragraphs(statements: Sequence[tree.Statement]) -> Iterator[str]:
    before = ""
    for statement in statements:
        kind = _paragraph_of(statement)
        if before and kind != before:
            yield ""
        yield format_statement(statement)
        before = kind


def _paragraph_of(statement: tree.Statement) -> str:
    match statement:
        case tree.Range():
            return "numbers"
        case tree.Let(_, values):
            is_number = isinstance(values[0], tree.Number | tree.Power | tree.Quotient) or len(values) > 1
            return "numbers" if is_number else "operators"
        case tree.KernelStatement() | tree.Scalar():
            return "parameters"
        case tree.InputStatement() | tree.Output():
            return "ends"
        case _:
            return type(statement).__name__


def _kept_statements(
    definition: Definition, entries: Sequence[DerivedEquation], renames: Sequence[tree.Rename]
) -> Iterator[tree.Statement]:
    """The statements of the spec that are still needed, and the equations in place of its own."""
    spec = definition.words.spec
    families = {entry.equation.left.name for entry in entries}
    used = _used_names(spec, entries)
    are_written = False
    for statement in spec.statements:
        match statement:
            case tree.Equation():
                yield from [] if are_written else [*renames, *(entry.equation for entry in entries)]
                are_written = True
            case tree.Model(name):
                yield replace(statement, name=name if name.endswith(_SUFFIX) else f"{name}{_SUFFIX}")
            case tree.Let(symbol) | tree.KernelStatement(symbol) | tree.Scalar(symbol) | tree.Tie(symbol):
                yield from [statement] if symbol.name in used else []
            case tree.Constrain(symbol):
                yield from [statement] if symbol.name in families and not symbol.tag else []
            case tree.Version() | tree.Range() | tree.InputStatement() | tree.Output():
                yield statement
            case _:
                # Others are about values and sizes of the form that is left behind.
                pass


def _used_names(spec: tree.Tree, entries: Sequence[DerivedEquation]) -> set[str]:
    declared: dict[str, list[tree.Statement]] = {}
    for statement in spec.statements:
        if isinstance(statement, tree.Let | tree.KernelStatement | tree.Scalar):
            declared.setdefault(statement.symbol.name, []).append(statement)
    roots = [s for s in spec.statements if isinstance(s, tree.Range | tree.InputStatement | tree.Output)]
    open: list[tree.Statement] = [*roots, *(entry.equation for entry in entries)]
    used: set[str] = set()
    while open:
        names = {found.name or "" for found in mentions(open.pop())} - used
        used |= names
        open += [statement for name in names for statement in declared.get(name, ())]
    return used


def notes_on_left_out(definition: Definition, entries: Sequence[DerivedEquation]) -> Iterator[str]:
    families = {entry.equation.left.name for entry in entries}
    for statement in definition.words.spec.statements:
        if not isinstance(statement, tree.Constrain):
            continue
        name = statement.symbol.name
        if name not in families:
            yield f"`{format_statement(statement)}` is left out: `{name}` is no longer computed"
        elif statement.symbol.tag:
            yield f"`{format_statement(statement)}` is left out: `{name}` is computed for other indices here"


def recomputed(spec: tree.Tree, inferred: Inferred) -> list[tree.Expect]:
    """The expectations of a spec, with what the residual form has."""
    found: list[tree.Expect] = []
    for statement in spec.statements:
        if isinstance(statement, tree.Expect) and statement.quantity in QUANTITIES:
            count = QUANTITIES[statement.quantity][0](inferred)
            text = Source("derived", f"{count:_}")
            found.append(replace(statement, number=tree.Number(count, Span(text, 0, len(text.text)))))
    return found
