"""The token at the cursor, in a text that may have errors elsewhere, and its definition."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from lsprotocol import types

from cldfc.diagnostics import Problems, Source, Span
from cldfc.lsp.documents import Document, location
from cldfc.network.names import Names
from cldfc.syntax import tree
from cldfc.syntax.spelling import NAME, canonical_name
from cldfc.syntax.tag import TagReader, without_adjoint
from cldfc.syntax.tokens import Token, is_adjoint, tokens_of
from cldfc.syntax.walk import children

_NAMES = re.compile(NAME)
_QUIET = ("space", "comment", "noise", "wrong")


@dataclass(frozen=True, slots=True)
class CursorPlace:
    """The token at the cursor, the name there, if any, and the number of indices in the tag that follows."""

    token: Token
    name: str = ""
    indices: int = 0

    @property
    def is_index(self) -> bool:
        return self.token.kind == "tag"


def place_at(text: str, offset: int) -> CursorPlace | None:
    """The token at an offset; right after a word, that word, unless another one starts there."""
    tokens = list(tokens_of(text))
    marks = [token for token in tokens if is_adjoint(token) and token.start <= offset < token.end]
    if marks:
        return CursorPlace(marks[0])
    following = pairwise([token for token in tokens if not is_adjoint(token)] + [None])
    touching = [(t, after) for t, after in following if t and t.start <= offset <= t.end]
    spoken = [pair for pair in touching if pair[0].kind not in _QUIET]
    named = [pair for pair in spoken if pair[0].kind in ("name", "tag")]
    inside = [pair for pair in spoken if offset < pair[0].end]
    found = (named[-1:] or inside or spoken)[:1]
    return _read_place(*found[0], offset) if found else None


def _read_place(token: Token, after: Token | None, offset: int) -> CursorPlace | None:
    """A token with the name at an offset; None at an offset in a tag where there is no name."""
    if token.kind == "tag":
        names = [n for n in _NAMES.finditer(token.text) if n.start() <= offset - token.start <= n.end()]
        return CursorPlace(token, canonical_name(names[-1][0])) if names else None
    if token.kind != "name":
        return CursorPlace(token)
    name = canonical_name(token.text)
    if after is None or after.kind != "tag":
        return CursorPlace(token, name)
    tag = Span(Source("", after.text), 0, len(after.text))
    return CursorPlace(token, name, len(TagReader(Problems(), tag).tag(without_adjoint(tag.text))))


def local_name(
    spec: tree.Tree, source: Source, offset: int, name: str
) -> tree.Reduction | tree.Fix | tree.Clause | tree.Let | None:
    """What binds a name at an offset: the innermost reduction, `fix` or `solve` around it, a `for`, or a `let`."""
    found: tree.Reduction | tree.Fix | tree.Clause | tree.Let | None = None
    stack: list[object] = [s for s in spec.statements if s.span.source is source and _is_at(s.span, offset)]
    while stack:
        node = stack.pop()
        if isinstance(node, tree.Reduction | tree.Fix | tree.Clause) and node.name == name:
            found = node if isinstance(node, tree.Clause) or _is_at(node.span, offset) else found
        if isinstance(node, tree.Let) and any(argument.name == name for argument in node.arguments):
            found = node
        stack += children(node)
    return found


def _is_at(span: Span, offset: int) -> bool:
    """Whether an offset is inside a span or at its end."""
    return span.start <= offset <= span.end


def definitions(document: Document, offset: int, uri: str, encoding: str) -> list[types.Location]:
    """Where the symbol at an offset is defined: for a value, all its equations; for a file name, the file."""
    source = document.current.source
    place = place_at(source.text, offset)
    if place is None:
        return []
    if place.token.kind == "string":
        file = Path(source.name).absolute().parent / place.token.text.strip('"')
        start = types.Position(0, 0)
        return [types.Location(file.as_uri(), types.Range(start, start))] if file.is_file() else []
    return [location(span, source, uri, encoding) for span in _spans_of(document, place, offset)]


def _spans_of(document: Document, place: CursorPlace, offset: int) -> list[Span]:
    local = None if place.indices else local_name(document.current.tree, document.current.source, offset, place.name)
    if isinstance(local, tree.Let):
        return [argument.span for argument in local.arguments if argument.name == place.name]
    if local is not None:
        return [local.name_span]
    names = document.names(place.name)
    equations = [] if place.is_index else names.families.get((place.name, place.indices), [])
    if equations:
        return [equation.left.span for equation in equations]
    return _declared_at(names, place.name)


def _declared_at(names: Names, name: str) -> list[Span]:
    """The declaration of a name, or its equations with any number of indices."""
    if name in names.outputs and not names.arities(name):
        return [names.outputs[name].name_span]
    if name in names.members:
        return [statement.symbol.span for statement in names.members[name]]
    if name in names.declared:
        return [names.head_of(name)[0].span]
    return [equation.left.span for arity in names.arities(name) for equation in names.families[name, arity]]
