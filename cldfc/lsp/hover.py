"""What a symbol means: its declaration and equations, its shapes, its parameters, what it costs."""

from __future__ import annotations

from inspect import getdoc

from cldfc.algebra.linearity import what_breaks_linearity
from cldfc.compilation import Compilation
from cldfc.diagnostics import shape_text
from cldfc.lsp.cursor import CursorPlace, local_index, place_at
from cldfc.lsp.documents import Document
from cldfc.lsp.figures import constant_figures, family_figures, parameter_figures
from cldfc.network.names import Family, Names
from cldfc.ops import BUILTINS, Concat, Convolution, Multiply, Prolongation, Total
from cldfc.ops.reference import section
from cldfc.show.summary import facts
from cldfc.syntax import tree
from cldfc.syntax.keywords import EXAMPLES
from cldfc.syntax.lines import format_statement

INSIDE = {
    "for": "gives the range of an index: `for i = 1..ν`",
    "groups": "divides the channels of a kernel: `groups 4`",
    "dilation": "spaces out the numbers of a kernel: `dilation 2`",
    "bias": "adds a number to each channel that a kernel gives",
    "fixed": "makes a scalar a constant, which is not trained",
}


def hover_text(document: Document, offset: int) -> str | None:
    """What stands at an offset, in Markdown; None where there is nothing to say.

    While the document is broken, the figures are those of the last network without errors.
    """
    place = place_at(document.current.source.text, offset)
    if place is None:
        return None
    lines = about_name(document, place, offset) if place.name else about_sign(place)
    return "\n".join(lines).strip() or None


def about_sign(place: CursorPlace) -> list[str]:
    text, kind = place.token.text, place.token.kind
    if kind == "statement":
        return [f"**{text}**: {EXAMPLES[text]}"]
    if kind == "word":
        return [f"**{text}** {INSIDE[text]}"]
    if kind == "reduction":
        return [getdoc(Concat if "concat" in text else Total) or ""]
    if kind == "sign" and text.startswith(("*", "\\ast", "\\cdot")):
        return [getdoc(Prolongation if "^" in text else Convolution) or ""]
    return [getdoc(Multiply) or ""] if text in ("⊙", ".*", r"\odot") else []


def about_name(document: Document, place: CursorPlace, offset: int) -> list[str]:
    names = document.names(place.name)
    local = local_index(document.current.tree, document.current.source, offset, place.name)
    if local is not None:
        return [*code(local.span.text), "an index"]
    if place.name in BUILTINS:
        return ["\n".join(section(BUILTINS[place.name])).replace("## ", "### ", 1)]
    family = (place.name, place.indices)
    network = document.good
    if not place.is_index and family in names.families:
        return about_value(names, family, network)
    if names.model is not None and names.model.name == place.name:
        figures = facts(network.simplified) if network else {}
        return [*code(format_statement(names.model)), *(f"- {name}: {figure}" for name, figure in figures.items())]
    if place.name in names.declared:
        statement = names.declared[place.name]
        return [*code(format_statement(statement)), *meaning(statement, names, document, network)]
    arities = names.arities(place.name)
    return about_value(names, (place.name, arities[0]), network) if arities else []


def code(*lines: str) -> list[str]:
    return ["```cldf", *lines, "```"]


def about_value(names: Names, family: Family, network: Compilation | None) -> list[str]:
    is_output = names.output is not None and family == (names.output.name, 0)
    statements = [*([names.output] if names.output and is_output else []), *names.families[family]]
    said = code(*map(format_statement, statements))
    return [*said, "the output" if is_output else "a value", *(family_figures(network, family) if network else [])]


def meaning(
    statement: tree.Let | tree.Range | tree.KernelStatement | tree.Scalar | tree.InputStatement,
    names: Names,
    document: Document,
    network: Compilation | None,
) -> list[str]:
    """What a declaration comes to in the network."""
    program = None if network is None else network.program
    match statement:
        case tree.KernelStatement(symbol) | tree.Scalar(symbol, _, False):
            return parameter_figures(network, symbol.name) if network else []
        case tree.Let(symbol) if not names.is_constant(symbol.name):
            broken = what_breaks_linearity(statement, document.known.tree)
            return [f"a nonlinear operator: {', '.join(broken)}" if broken else "a linear operator"]
        case tree.Let(symbol):
            constant = program.constants.get(symbol.name) if program else None
            return constant_figures(constant) if constant else ["a constant"]
        case tree.InputStatement() if program:
            return [f"the input, {shape_text(program.shape)}"]
        case tree.Range(kind, name):
            found = program.ranges.get(name) if program else None
            bounds = f", {found.lower}..{found.upper}" if found and found.level is None else ""
            return [f"an index of {kind}{bounds}"]
        case _:
            return []
