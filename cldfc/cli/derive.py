"""`cldfc derive`: a spec in another form, source to source."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Literal

import typer

from cldfc.algebra.residual.derivation import Derivation, explain_as_latex, explain_as_markdown, explain_as_text
from cldfc.cli.options import Lets, SpecPath, Ties, errors, refuse_both, switch
from cldfc.compilation import Compilation, read_changes
from cldfc.diagnostics import UsageError
from cldfc.files import refuse_foreign, write_generated
from cldfc.network.cost import count_convs, count_macs
from cldfc.network.shapes import Inferred
from cldfc.output import say, show_document
from cldfc.syntax.read import read_source

_Format = Literal["text", "markdown", "latex"]

EXPLAIN: Mapping[_Format, Callable[[Derivation], str]] = {
    "text": explain_as_text,
    "markdown": explain_as_markdown,
    "latex": explain_as_latex,
}


def remarks_on_derivation(network: Compilation) -> Iterator[str]:
    """What the residual form of a spec saves, and what it has lost. Raises CldfError also when there is none."""
    original, derived = network.shapes, network.residual.shapes
    convolutions = f"{count_convs(derived):,} convolutions instead of {count_convs(original):,}"
    if original.expansion.program.open_sizes:
        yield convolutions
    else:
        yield f"{convolutions}, {_millions(derived)} M multiply-adds instead of {_millions(original)} M"
    yield from network.derivation.notes


def _millions(inferred: Inferred) -> str:
    return f"{count_macs(inferred) / 1e6:,.1f}"


def _choose_format(explain: bool, markdown: bool, latex: bool) -> _Format | None:
    """How the derivation is to be explained, if at all. Raises UsageError when the options cannot be used together."""
    for option, is_given in (("--markdown", markdown), ("--latex", latex)):
        if is_given and not explain:
            raise UsageError(f"`{option}` says how to explain", f"write `--explain {option}`")
    refuse_both("--markdown", markdown, "--latex", latex)
    if not explain:
        return None
    return "markdown" if markdown else "latex" if latex else "text"


def derive(
    spec: SpecPath,
    residual: Annotated[bool, switch("--residual", "The residual form, by Theorem 1; the default.")] = False,
    normal: Annotated[
        bool,
        switch("--normal", "The iteration for the normal equation 𝒜ᵀ𝒜(u) = 𝒜ᵀ(f); with --residual, its residual form."),
    ] = False,
    output: Annotated[
        str | None, typer.Option("-o", "--output", metavar="FILE", help="Output file; standard output by default.")
    ] = None,
    explain: Annotated[bool, switch("--explain", "Print the derivation, step by step.")] = False,
    markdown: Annotated[bool, switch("--markdown", "Explain as Markdown.")] = False,
    latex: Annotated[bool, switch("--latex", "Explain as LaTeX.")] = False,
    let: Lets = None,
    tie: Ties = None,
) -> None:
    """Rewrite a spec in residual form: an iteration in residuals instead of features.

    With --normal, corrections are computed from 𝒜ᵀ(f - 𝒜(u)) in place of
    f - 𝒜(u): another network, in which 𝒜 may lead from one space to another.

    Example: cldfc derive fbresnet -o fbresnet_residual.cldf
    """
    with errors():
        from cldfc.algebra.residual.write_spec import DERIVED

        format = _choose_format(explain, markdown, latex)
        if normal and explain and not residual:
            raise UsageError("`--explain` proves a residual form", "write `--normal --residual --explain`")
        network = Compilation(read_source(spec), read_changes(let, tie))
        network = network.normal if normal else network
        is_residual = residual or not normal
        text = (network.residual if is_residual else network).source.text
        remarks = list(remarks_on_derivation(network)) if is_residual else []
        if output is not None and output != "-":
            refuse_foreign(Path(output), DERIVED, f"{spec.stem}_{'residual' if is_residual else 'normal'}.cldf")
            write_generated(Path(output), text, DERIVED)
        elif format is None:
            show_document(text)
        if format is None and is_residual:
            remarks.append("`--explain` proves it line by line")
        if format is not None:
            show_document(EXPLAIN[format](network.derivation))
        say(*remarks)
