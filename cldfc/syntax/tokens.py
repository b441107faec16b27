"""Text → words and signs, even of a wrong text, to colour a spec or to look up what is at a place."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from cldfc.syntax import tables
from cldfc.syntax.keywords import REDUCTIONS, SOLVERS, STATEMENTS, WORDS_INSIDE
from cldfc.syntax.spelling import COMMENT, NOISE, STEPS_OF_FIX

TokenKind = Literal[
    "space", "comment", "string", "noise", "statement", "word", "reduction", "sign", "times", "number", "name", "tag",
    "bracket", "wrong",
]  # fmt: skip
"""`statement` is the word that starts one, `word` one inside it, `noise` LaTeX that says nothing."""


@dataclass(frozen=True, slots=True)
class Token:
    """A stretch of a text, `start` to `end` (exclusive), and what it is."""

    kind: TokenKind
    text: str
    start: int

    @property
    def end(self) -> int:
        return self.start + len(self.text)


def _parser_patterns() -> dict[str, str]:
    terminals = (entry for entry in tables.SAVED["memo"].values() if "pattern" in entry)
    patterns = {entry["name"]: entry["pattern"] for entry in terminals}
    return {name: p["value"] if p["__type__"] == "PatternRE" else re.escape(p["value"]) for name, p in patterns.items()}


PARSER = _parser_patterns()
_SIGNS = (
    "ADJOINT", "_DOTS", "ENUMERATION", "STAR", "STRIDED", "_ODOT", "_COMPOSE", "_ARROW", "_AT_LEAST",
    "_AT_MOST", "_MORE", "_LESS", "SIGN", "_EQUAL", "COLON", "COMMA", "SLASH", "CIRCUMFLEX",
    "_SUM", "SHORT_FRACTION", "FRACTION", "_IN_SET", "_FOR_WORDS", "LANGLE", "RANGLE", "NORM",
)  # fmt: skip
_BRACKETS = ("OPEN", "CLOSE", "LBRACE", "RBRACE", "LSQB", "RSQB")
PATTERNS: dict[TokenKind, str] = {
    "space": r"[ \t\r\n]+",
    "comment": COMMENT,
    "string": PARSER["STRING"],
    "noise": NOISE,
    "reduction": "|".join(PARSER[name] for name in ("REDUCTION", "FIX", "SOLVE")),
    "times": r"×|\\times(?![A-Za-z])",
    "sign": "|".join([*(PARSER[name] for name in _SIGNS), ";"]),
    "number": PARSER["NUMBER"],
    "name": PARSER["NAME"],
    "bracket": "|".join(PARSER[name] for name in _BRACKETS),
    "wrong": "(?s:.)",
}
"""What a token of each kind looks like; the first that fits is meant."""

_ANY = re.compile("|".join(f"(?P<{kind}>{pattern})" for kind, pattern in PATTERNS.items()))
_TAG = re.compile(PARSER["TAG"])
_ADJOINT = re.compile(PARSER["ADJOINT"])
_LETTER_TIMES = re.compile("x")
SIZED = ("kernel", "input", "output")


def tokens_of(text: str) -> Iterator[Token]:
    """All of a text in order, white space and what is wrong included: the texts of the tokens add up to it."""
    statement, starts_line, before, at = "", True, Token("space", "", 0), 0
    while at < len(text):
        token = _token_at(text, at, statement, starts_line, before)
        yield token
        if token.kind == "space":
            starts_line = starts_line or "\n" in token.text
            statement = statement if token.text[-1] != "\n" else ""
        else:
            starts_line, before = False, token
            statement = token.text if token.kind == "statement" else statement
        at = token.end


def _token_at(text: str, at: int, statement: str, starts_line: bool, before: Token) -> Token:
    is_size = statement in SIZED and (before.kind in ("number", "name") or before.text in ("}", ")"))
    if is_size and (times := _LETTER_TIMES.match(text, at)):
        return Token("times", times[0], at)
    is_named = before.kind == "name" or is_adjoint(before)
    if (
        is_named
        and not _ADJOINT.match(text, at)
        and (tag := _TAG.match(text, at))
        and "\n" not in text[before.end : at]
    ):
        return Token("tag", tag[0], at)
    found = _ANY.match(text, at)
    assert found is not None and found.lastgroup is not None
    kind: TokenKind = found.lastgroup  # pyright: ignore[reportAssignmentType]
    return Token(_kind_of_name(text, found, starts_line) if kind == "name" else kind, found[0], at)


def is_adjoint(token: Token) -> bool:
    """Whether a token is the sign of an adjoint, `ᵀ`, `'` or `^\\top`."""
    return token.kind == "sign" and _ADJOINT.fullmatch(token.text) is not None


def _kind_of_name(text: str, found: re.Match[str], starts_line: bool) -> TokenKind:
    if _TAG.match(text, found.end()):
        return "name"
    if STEPS_OF_FIX.match(text, found.start()):
        return "word"
    if starts_line and found[0] in STATEMENTS:
        return "statement"
    return "word" if found[0] in WORDS_INSIDE and found[0] not in (*REDUCTIONS, *SOLVERS) else "name"
