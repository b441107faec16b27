"""What is wrong with a document, as the protocol says it."""

from __future__ import annotations

import os
from pathlib import Path

from lsprotocol import types

from cldfc.compilation import Compilation
from cldfc.diagnostics import Diagnostic, Label, Source, Span
from cldfc.lsp.positions import Positions
from cldfc.syntax.parse import split_statements

SEVERITIES = {"error": types.DiagnosticSeverity.Error, "remark": types.DiagnosticSeverity.Information}


def lsp_diagnostics(network: Compilation, uri: str, encoding: str) -> list[types.Diagnostic]:
    """The errors of a document, or the remarks on it, each with its code, its help and all places that it speaks of.

    What is to be said of a file that the document extends stands at the `extend`.
    """
    return [lsp_diagnostic(found, network.source, uri, encoding) for found in network.diagnostics]


def lsp_diagnostic(found: Diagnostic, source: Source, uri: str, encoding: str) -> types.Diagnostic:
    first, *others = found.places
    message = f"{found.message}\nhelp: {found.help}"
    if first.span.source is not source:
        others, message = [first, *others], f"in {first.span.source.name}: {message}"
        extends = (span for span in split_statements(source) if span.text.startswith("extend"))
        first = Label(next(extends, Span(source, 0, 0)))
    related = [
        types.DiagnosticRelatedInformation(location(place.span, source, uri, encoding), place.text or found.message)
        for place in others
    ]
    return types.Diagnostic(
        range=Positions(source.text, encoding).range(first.span.start, first.span.end),
        message=message,
        severity=SEVERITIES[found.severity],
        code=found.code,
        source="cldfc",
        related_information=related,
    )


def location(span: Span, source: Source, uri: str, encoding: str) -> types.Location:
    """A place in the document, or in a file that it extends."""
    target = uri if span.source.name == source.name else Path(os.path.abspath(span.source.name)).as_uri()
    return types.Location(target, Positions(span.source.text, encoding).range(span.start, span.end))
