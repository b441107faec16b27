"""A derivation as data, and told step by step: for the terminal, as Markdown, as LaTeX."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from cldfc.algebra.residual.vocabulary import Indices
from cldfc.syntax import tree
from cldfc.syntax.format import Spelling, format_equation, format_expression, format_symbol, spell_name

Rule = Literal["definition of", "equation for", "linearity of", "cancellation", "zero"]


@dataclass(frozen=True, slots=True)
class ProofStep:
    """An expression that equals the one before, and why: a rule, and the name that it is about."""

    expression: tree.Expression
    rule: Rule
    name: str = ""


@dataclass(frozen=True, slots=True)
class Proof:
    """A chain of equal expressions, from the definition of a residual to its new equation.

    It uses the equations `given`, and may end in a value that `named` defines.
    """

    left: tree.Symbol
    given: tuple[tree.Equation, ...]
    steps: tuple[ProofStep, ...]
    named: tuple[tree.Equation, ...] = ()


@dataclass(frozen=True, slots=True)
class Origin:
    """An equation of the spec whose normalisations a new one has taken over, and what replaces its index names."""

    equation: tree.Equation
    indices: Indices


@dataclass(frozen=True, slots=True)
class DerivedEquation:
    equation: tree.Equation
    origins: tuple[Origin, ...]
    proof: Proof | None = None


@dataclass(frozen=True, slots=True)
class Derivation:
    """The residual form of a spec.

    `spec` is self-contained, its text is `spec.source.text`; its parameters have the names that they have in the spec
    that was given. `proofs` are in the order of its equations.
    """

    spec: tree.Tree
    proofs: tuple[Proof, ...]
    notes: tuple[str, ...]


_WIDTH = 80


def explain_as_text(derivation: Derivation) -> str:
    """Lines of 80 columns where the expressions allow it, with the rule of each step at its right."""
    return "\n\n".join("\n".join(_text_lines(proof)) for proof in derivation.proofs) + "\n"


def _text_lines(proof: Proof) -> Iterator[str]:
    yield from (f"given {format_equation(equation)}" for equation in proof.given)
    yield format_symbol(proof.left)
    lines = [(f"  = {format_expression(step.expression)}", _rule_text(step)) for step in proof.steps]
    for line, rule in lines:
        room = _WIDTH - len(line) - 2
        yield f"{line}  {rule:>{room}}" if len(rule) <= room else f"{line}\n{rule:>{_WIDTH}}"
    yield from (f"where {format_equation(equation)}" for equation in proof.named)


def explain_as_markdown(derivation: Derivation) -> str:
    return "\n".join(line for proof in derivation.proofs for line in _markdown_lines(proof)).rstrip("\n") + "\n"


def _markdown_lines(proof: Proof) -> Iterator[str]:
    yield f"### `{format_symbol(proof.left)}`\n"
    if proof.given:
        yield f"Given {' and '.join(f'`{format_equation(equation)}`' for equation in proof.given)}:\n"
    yield f"| `{format_symbol(proof.left)}` | |\n|---|---|"
    for step in proof.steps:
        yield f"| = `{format_expression(step.expression)}` | {_rule_text(step, mark='`')} |"
    yield ""
    if proof.named:
        yield f"where {' and '.join(f'`{format_equation(equation)}`' for equation in proof.named)}.\n"


def explain_as_latex(derivation: Derivation) -> str:
    """A paragraph for each step, its mathematics between dollar signs; nothing in it needs a package."""
    return "\n\n".join(line for proof in derivation.proofs for line in _latex_lines(proof)) + "\n"


def _latex_lines(proof: Proof) -> Iterator[str]:
    yield from (f"Given ${format_equation(equation, 0, 'latex')}$:" for equation in proof.given)
    left = format_symbol(proof.left, "latex")
    for at, step in enumerate(proof.steps):
        expression = format_expression(step.expression, "latex")
        start = r"\quad" if at else left
        yield f"${start} = {expression}$ ({_rule_text(step, 'latex', '$')})"
    yield from (f"where ${format_equation(equation, 0, 'latex')}$." for equation in proof.named)


def _rule_text(step: ProofStep, spelling: Spelling = "unicode", mark: str = "") -> str:
    """`linearity of 𝒜`."""
    if not step.name:
        return step.rule.removesuffix(" of")
    return f"{step.rule} {mark}{spell_name(step.name, spelling)}{mark}"
