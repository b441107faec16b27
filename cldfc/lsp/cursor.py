"""What stands at a place of a text, which may be wrong elsewhere, or there."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise

from cldfc.diagnostics import Problems, Source, Span
from cldfc.syntax import tree
from cldfc.syntax.spelling import NAME, canonical_name
from cldfc.syntax.tag import TagReader
from cldfc.syntax.tokens import Token, tokens_of
from cldfc.syntax.walk import children

NAMES = re.compile(NAME)
QUIET = ("space", "comment", "noise", "wrong")


@dataclass(frozen=True, slots=True)
class CursorPlace:
    """A token, the name that it is or has at the place, and how many indices stand behind it."""

    token: Token
    name: str = ""
    indices: int = 0

    @property
    def is_index(self) -> bool:
        return self.token.kind == "tag"


def place_at(text: str, offset: int) -> CursorPlace | None:
    """What stands at an offset; just behind a word it is that word, unless another one starts there."""
    touching = [(t, after) for t, after in pairwise([*tokens_of(text), None]) if t and t.start <= offset <= t.end]
    spoken = [pair for pair in touching if pair[0].kind not in QUIET]
    named = [pair for pair in spoken if pair[0].kind in ("name", "tag")]
    inside = [pair for pair in spoken if offset < pair[0].end]
    found = (named[-1:] or inside or spoken)[:1]
    return read_place(*found[0], offset) if found else None


def read_place(token: Token, after: Token | None, offset: int) -> CursorPlace | None:
    """A token with the name that it says at an offset; None in a tag where there is no name."""
    if token.kind == "tag":
        names = [n for n in NAMES.finditer(token.text) if n.start() <= offset - token.start <= n.end()]
        return CursorPlace(token, canonical_name(names[-1][0])) if names else None
    if token.kind != "name":
        return CursorPlace(token)
    name = canonical_name(token.text)
    if after is None or after.kind != "tag":
        return CursorPlace(token, name)
    tag = Span(Source("", after.text), 0, len(after.text))
    return CursorPlace(token, name, len(TagReader(Problems(), tag).tag(tag.text)))


def local_index(spec: tree.Tree, source: Source, offset: int, name: str) -> tree.Reduction | tree.Clause | None:
    """What binds an index name at an offset: the innermost reduction around it, or a `for`."""
    found: tree.Reduction | tree.Clause | None = None
    stack: list[object] = [s for s in spec.statements if s.span.source is source and is_at(s.span, offset)]
    while stack:
        node = stack.pop()
        if isinstance(node, tree.Reduction | tree.Clause) and node.name == name:
            found = node if isinstance(node, tree.Clause) or is_at(node.span, offset) else found
        stack += children(node)
    return found


def is_at(span: Span, offset: int) -> bool:
    """Whether a stretch touches an offset."""
    return span.start <= offset <= span.end
