"""The open documents, their diagnostics, and positions in them as the protocol counts."""

from __future__ import annotations

import os
import re
from bisect import bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from lsprotocol import types
from lsprotocol.types import Position, PositionEncodingKind, Range

from cldfc.compilation import Compilation
from cldfc.diagnostics import Diagnostic, Label, Source, Span
from cldfc.network.names import Names
from cldfc.syntax.parse import split_statements

_LINE_END = re.compile("\r\n|\n|\r")
_UNITS: Mapping[str, Callable[[str], int]] = {
    PositionEncodingKind.Utf8: lambda text: len(text.encode()),
    PositionEncodingKind.Utf16: lambda text: len(text.encode("utf-16-le")) // 2,
    PositionEncodingKind.Utf32: len,
}
"""The length of a text in the code units of each encoding."""


@dataclass(frozen=True)
class Positions:
    text: str
    encoding: str = PositionEncodingKind.Utf16

    @cached_property
    def starts(self) -> list[int]:
        return [0, *(found.end() for found in _LINE_END.finditer(self.text))]

    def position(self, offset: int) -> Position:
        """The line and character of an offset, both from 0."""
        line = bisect_right(self.starts, offset) - 1
        return Position(line, _UNITS[self.encoding](self.text[self.starts[line] : offset]))

    def range(self, start: int, end: int) -> Range:
        return Range(self.position(start), self.position(end))

    def offset(self, position: Position) -> int:
        """The offset of a position; the end of the line or of the text for a position beyond it."""
        if position.line >= len(self.starts):
            return len(self.text)
        start, left = self.starts[position.line], position.character
        line = _LINE_END.split(self.text[start:], maxsplit=1)[0]
        for at, character in enumerate(line):
            left -= _UNITS[self.encoding](character)
            if left < 0:
                return start + at
        return start + len(line)


@dataclass
class Document:
    """An open document: the compilation of its current text, and of the last text without errors."""

    current: Compilation
    good: Compilation | None = None

    @property
    def known(self) -> Compilation:
        return self.good or self.current

    def names(self, name: str) -> Names:
        """The names of the current text if it has this one, otherwise of the last text without errors."""
        knows = name in self.current.names.declared or self.current.names.arities(name)
        return self.current.names if knows else self.known.names


@dataclass
class Documents:
    open: dict[str, Document] = field(default_factory=dict[str, Document])

    def read(self, uri: str, source: Source, is_stale: bool = False) -> Document:
        """The document with this text, recompiled if the text or a file it extends (`is_stale`) has changed."""
        before = self.open.get(uri)
        if before is not None and before.current.source == source and not is_stale:
            return before
        current = Compilation(source)
        self.open[uri] = Document(current, current if current.is_right else before and before.good)
        return self.open[uri]


_SEVERITIES = {"error": types.DiagnosticSeverity.Error, "remark": types.DiagnosticSeverity.Information}


def lsp_diagnostics(network: Compilation, uri: str, encoding: str) -> list[types.Diagnostic]:
    """The errors in a document, or the remarks on it, each with its code, its help and related locations.

    Diagnostics of a file that the document extends are shown at the `extend`.
    """
    return [_lsp_diagnostic(found, network.source, uri, encoding) for found in network.diagnostics]


def _lsp_diagnostic(found: Diagnostic, source: Source, uri: str, encoding: str) -> types.Diagnostic:
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
        severity=_SEVERITIES[found.severity],
        code=found.code,
        source="cldfc",
        related_information=related,
    )


def location(span: Span, source: Source, uri: str, encoding: str) -> types.Location:
    """The location of a span in the document, or in a file that it extends."""
    target = uri if span.source.name == source.name else Path(os.path.abspath(span.source.name)).as_uri()
    return types.Location(target, Positions(span.source.text, encoding).range(span.start, span.end))
