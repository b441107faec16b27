"""`make grammar`: compute the LALR tables of `grammar/cldf.lark` and write them beside the parser.

Building them takes 70 ms at every start; loading the written ones takes 5 ms.
"""

from __future__ import annotations

import hashlib
import io
import pickle
from pathlib import Path

from lark import Lark

from cldfc.syntax import spelling

_PATTERNS = "NAME TAG ADJOINT NOISE COMMENT OPEN CLOSE ENUMERATION FOR_WORDS IN_SET INDEXED".split()
"""Those of the spelling that the grammar speaks of."""

_GRAMMAR = Path(__file__).parents[2] / "grammar" / "cldf.lark"
TABLES = Path(__file__).with_name("tables.py")


def _grammar_text() -> str:
    """The grammar with the patterns of the spelling filled in."""
    text = _GRAMMAR.read_text(encoding="utf-8")
    for name in _PATTERNS:
        text = text.replace(f"<{name}>", getattr(spelling, name))
    return text


def digest() -> str:
    """A fingerprint of the grammar, by which a test finds tables that were left behind."""
    return hashlib.sha256(_grammar_text().encode()).hexdigest()


def tables_text() -> str:
    """The source of `tables.py`."""
    parser = Lark(_grammar_text(), parser="lalr", lexer="contextual", maybe_placeholders=False)
    saved = io.BytesIO()
    parser.save(saved)  # pyright: ignore[reportUnknownMemberType]
    heading = '"""The LALR tables of grammar/cldf.lark, written by `make grammar`."""'
    # Python source is compiled once and holds numbers and text only; to load a pickle is to run it.
    tables = pickle.loads(saved.getvalue())
    return f"{heading}\n\nfrom typing import Any\n\nDIGEST = {digest()!r}\nSAVED: Any = {tables!r}\n"


if __name__ == "__main__":
    TABLES.write_text(tables_text(), encoding="utf-8")
