"""Where a name is declared, and the equations that define a value."""

from __future__ import annotations

from pathlib import Path

from lsprotocol import types

from cldfc.diagnostics import Span
from cldfc.lsp.cursor import CursorPlace, local_index, place_at
from cldfc.lsp.diagnostics import location
from cldfc.lsp.documents import Document
from cldfc.network.names import Names


def definitions(document: Document, offset: int, uri: str, encoding: str) -> list[types.Location]:
    """The places that introduce what stands at an offset; of a value, all its equations."""
    source = document.current.source
    place = place_at(source.text, offset)
    if place is None:
        return []
    if place.token.kind == "string":
        file = Path(source.name).absolute().parent / place.token.text.strip('"')
        start = types.Position(0, 0)
        return [types.Location(file.as_uri(), types.Range(start, start))] if file.is_file() else []
    return [location(span, source, uri, encoding) for span in spans_of(document, place, offset)]


def spans_of(document: Document, place: CursorPlace, offset: int) -> list[Span]:
    local = local_index(document.current.tree, document.current.source, offset, place.name)
    if local is not None:
        return [local.name_span]
    names = document.names(place.name)
    equations = [] if place.is_index else names.families.get((place.name, place.indices), [])
    if equations:
        return [equation.left.span for equation in equations]
    return declared_at(names, place.name)


def declared_at(names: Names, name: str) -> list[Span]:
    """The declaration of a name, or its equations, whatever their number of indices."""
    if names.output is not None and names.output.name == name and not names.arities(name):
        return [names.output.name_span]
    if name in names.declared:
        return [names.head_of(name)[0].span]
    return [equation.left.span for arity in names.arities(name) for equation in names.families[name, arity]]
