"""`derive_normal`: the iteration for the normal equation 𝒜ᵀ𝒜(u) = 𝒜ᵀ(f), in place of the one for 𝒜(u) = f."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from cldfc.algebra.infer import infer_network
from cldfc.algebra.residual import refusals
from cldfc.algebra.residual.definition import Definition
from cldfc.algebra.residual.iteration_form import Rewriting, iteration_of
from cldfc.algebra.residual.iterations import reachable
from cldfc.algebra.residual.linear_form import Form, Letter, LinearForms, Term, terms_of
from cldfc.algebra.residual.vocabulary import NOWHERE, family_of, put_in, sum_tree
from cldfc.algebra.residual.write_spec import DERIVED, paragraphs, recomputed
from cldfc.diagnostics import CldfError, Problems, Source
from cldfc.network.resolve import Changes
from cldfc.network.shapes import Inferred
from cldfc.syntax import tree
from cldfc.syntax.arrange import format_source
from cldfc.syntax.format import format_expression
from cldfc.syntax.parse import parse_spec

_SUFFIX = "_normal"


def write_normal(spec: tree.Tree, definition: Definition) -> tree.Tree:
    """A spec with 𝒜ᵀ applied to the residual, which is `definition`, wherever a correction takes it.

    Other uses of the residual, such as for the data of the next level, stay as they are. Raises CldfError if a part of
    𝒜 has no adjoint in the language, or if a correction cannot be applied to features.

    Before::

        steps i = 1..3
        u@0 = 0
        u@i = u@i-1 + B * (f - A * u@i-1)
        h = linear(avgpool(u@3))

    After::

        u@0 = 0
        u@i = u@i-1 + B * Aᵀ * (f - A * u@i-1)
        h = linear(avgpool(u@3))
    """
    corrected = {id(equation): equation for equation in _corrections(definition)}
    statements: list[tree.Statement] = []
    for statement in spec.statements:
        match statement:
            case tree.Equation() if id(statement) in corrected:
                statements.append(replace(statement, right=_with_adjoint(statement, definition)))
            case tree.Model(name):
                statements.append(replace(statement, name=f"{name}{_SUFFIX}"))
            case tree.Expect() | tree.Extend():
                pass
            case _:
                statements.append(statement)
    try:
        inferred = _infer(replace(spec, statements=tuple(statements)))
    except CldfError as error:
        raise refusals.normal_has_errors(error, definition) from None
    residual = format_expression(sum_tree(definition.at(definition.head)))
    name = "".join(c if c.isprintable() else "?" for c in Path(spec.source.name).name)
    lines = [
        f"# Normal equation of {name}, {DERIVED}: corrections of 𝒜ᵀ({residual})",
        *paragraphs([*statements, *recomputed(spec, inferred)]),
    ]
    text = format_source(Source(spec.source.name, "".join(f"{line}\n" for line in lines)))
    return parse_spec(Source(spec.source.name, text), Problems())


def _infer(spec: tree.Tree) -> Inferred:
    problems = Problems()
    inferred = infer_network(spec, Changes(), problems)
    problems.stop_if_any()
    return inferred


def _corrections(definition: Definition) -> Iterator[tree.Equation]:
    """The equations of the iteration: those for u and its partners, and for the values in between."""
    words, reached = definition.words, reachable(definition.words)
    for equation in words.equations():
        family = family_of(equation.left)
        if any(equation is each.equation for each in definition.every):
            continue
        is_between = definition.family in reached.get(family, {}) and family in reached.get(definition.family, {})
        is_own = family in definition.families
        if iteration_of(equation, definition) is not None or (is_between and not is_own):
            yield equation


def _with_adjoint(equation: tree.Equation, definition: Definition) -> tree.Expression:
    """The right side of an equation with 𝒜ᵀ before each residual in it."""
    right = Rewriting(definition, equation.left).expression(equation.right)
    for each in definition.every:

        def apply(found: tree.Symbol, each: Definition = each) -> tree.Expression:
            return _adjoint_of_residual(found, each)

        right = put_in(right, each.name, len(each.head), apply)
    return right


def _adjoint_of_residual(residual: tree.Symbol, definition: Definition) -> tree.Expression:
    """𝒜ᵀ(f - 𝒜(u)) at a tag: the factors of each term of 𝒜 in the opposite order, each by its adjoint."""
    tag = residual.tag
    forms = LinearForms(definition.words, tag)
    own = residual if definition.equation is not None else sum_tree(definition.at(tag))
    atom = forms.opaque(own)
    found: Form = {}
    for term, factor in forms.total(definition.mapped(tag, definition.feature(tag))).items():
        found[Term(term.scalars, tuple(map(_adjoint, reversed(term.word))), atom)] = factor
    return sum_tree(terms_of(found))


def _adjoint(letter: Letter) -> Letter:
    match letter.written:
        case tree.Star(tree.Adjoint(kernel)) as star:
            return replace(letter, key=("adjoint", letter.key), written=replace(star, left=kernel))
        case tree.Star(tree.Symbol() as kernel) as star if not letter.is_diagonal:
            return replace(
                letter, key=("adjoint", letter.key), written=replace(star, left=tree.Adjoint(kernel, NOWHERE))
            )
        case tree.Star():
            return letter
        case operator:
            raise refusals.has_no_adjoint(operator)
