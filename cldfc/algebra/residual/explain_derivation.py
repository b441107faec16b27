"""A derivation, step by step, as section 3.1 of the paper has it: for the terminal, as Markdown, as LaTeX."""

from __future__ import annotations

from collections.abc import Iterator

from cldfc.algebra.residual.derivation import Derivation, Proof, ProofStep
from cldfc.syntax.format import format_equation, format_expression, format_symbol
from cldfc.syntax.words import Spelling, spell_name

WIDTH = 80


def explain_as_text(derivation: Derivation) -> str:
    """Lines of 80 columns where the expressions allow it, with the rule of each step at its right."""
    return "\n\n".join("\n".join(text_lines(proof)) for proof in derivation.proofs) + "\n"


def text_lines(proof: Proof) -> Iterator[str]:
    yield from (f"given {format_equation(equation)}" for equation in proof.given)
    yield format_symbol(proof.left)
    lines = [(f"  = {format_expression(step.expression)}", rule_text(step)) for step in proof.steps]
    for line, rule in lines:
        room = WIDTH - len(line) - 2
        yield f"{line}  {rule:>{room}}" if len(rule) <= room else f"{line}\n{rule:>{WIDTH}}"
    yield from (f"where {format_equation(equation)}" for equation in proof.named)


def explain_as_markdown(derivation: Derivation) -> str:
    return "\n".join(line for proof in derivation.proofs for line in markdown_lines(proof)).rstrip("\n") + "\n"


def markdown_lines(proof: Proof) -> Iterator[str]:
    yield f"### `{format_symbol(proof.left)}`\n"
    if proof.given:
        yield f"Given {' and '.join(f'`{format_equation(equation)}`' for equation in proof.given)}:\n"
    yield f"| `{format_symbol(proof.left)}` | |\n|---|---|"
    for step in proof.steps:
        yield f"| = `{format_expression(step.expression)}` | {rule_text(step, mark='`')} |"
    yield ""
    if proof.named:
        yield f"where {' and '.join(f'`{format_equation(equation)}`' for equation in proof.named)}.\n"


def explain_as_latex(derivation: Derivation) -> str:
    """A paragraph for each step, its mathematics between dollar signs; nothing in it needs a package."""
    return "\n\n".join(line for proof in derivation.proofs for line in latex_lines(proof)) + "\n"


def latex_lines(proof: Proof) -> Iterator[str]:
    yield from (f"Given ${format_equation(equation, 0, 'latex')}$:" for equation in proof.given)
    left = format_symbol(proof.left, "latex")
    for at, step in enumerate(proof.steps):
        expression = format_expression(step.expression, "latex")
        start = r"\quad" if at else left
        yield f"${start} = {expression}$ ({rule_text(step, 'latex', '$')})"
    yield from (f"where ${format_equation(equation, 0, 'latex')}$." for equation in proof.named)


def rule_text(step: ProofStep, spelling: Spelling = "unicode", mark: str = "") -> str:
    """`linearity of 𝒜`."""
    if not step.name:
        return step.rule.removesuffix(" of")
    return f"{step.rule} {mark}{spell_name(step.name, spelling)}{mark}"
