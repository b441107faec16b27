"""`cldfc derive`: a spec in another form, source to source."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Literal

from cldfc.algebra.residual.derivation import Derivation
from cldfc.algebra.residual.explain_derivation import explain_as_latex, explain_as_markdown, explain_as_text
from cldfc.compilation import Compilation
from cldfc.diagnostics import UsageError
from cldfc.network.expect import count_convs, count_macs
from cldfc.network.shapes import Inferred

Format = Literal["text", "markdown", "latex"]

EXPLAIN: Mapping[Format, Callable[[Derivation], str]] = {
    "text": explain_as_text,
    "markdown": explain_as_markdown,
    "latex": explain_as_latex,
}


def remarks_on_derivation(network: Compilation) -> Iterator[str]:
    """What the residual form of a spec saves, and what it has lost. Raises CldfError also when there is none."""
    original, derived = network.shapes, network.residual.shapes
    convolutions = f"{count_convs(derived):,} convolutions instead of {count_convs(original):,}"
    yield f"{convolutions}, {millions(derived)} M multiply-adds instead of {millions(original)} M"
    yield from network.derivation.notes


def millions(inferred: Inferred) -> str:
    return f"{count_macs(inferred) / 1e6:,.1f}"


def choose_format(explain: bool, markdown: bool, latex: bool) -> Format | None:
    """How the derivation is to be explained, if at all. Raises UsageError when the options cannot be used together."""
    if (markdown or latex) and not explain:
        option = "markdown" if markdown else "latex"
        raise UsageError(f"`--{option}` says how to explain", f"write `--explain --{option}`")
    if markdown and latex:
        raise UsageError("`--markdown` and `--latex` cannot be used together", "give one of them")
    if not explain:
        return None
    return "markdown" if markdown else "latex" if latex else "text"
