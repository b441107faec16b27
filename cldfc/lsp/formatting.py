"""A document in the layout of `cldfc fmt`."""

from __future__ import annotations

from lsprotocol import types

from cldfc.diagnostics import CldfError, Source, UsageError
from cldfc.lsp.positions import Positions
from cldfc.syntax.arrange import format_source
from cldfc.syntax.words import Spelling


def formatting(source: Source, spelling: Spelling, encoding: str) -> list[types.TextEdit]:
    """The edits that format a document; none for one with syntax errors, which are reported anyway."""
    try:
        text = format_source(source, spelling)
    except (CldfError, UsageError):
        return []
    whole = Positions(source.text, encoding).range(0, len(source.text))
    return [] if text == source.text else [types.TextEdit(whole, text)]
