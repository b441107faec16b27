"""Specs in colour wherever Pygments is at work: Sphinx, MkDocs, LaTeX's minted, `pygmentize`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, ClassVar

from pygments.lexer import Lexer
from pygments.token import Comment, Error, Keyword, Name, Number, Operator, Punctuation, String, Text, Whitespace

from cldfc.ops import BUILTINS
from cldfc.syntax.spelling import canonical_name
from cldfc.syntax.tokens import Token, TokenKind, tokens_of

if TYPE_CHECKING:
    from pygments.token import _TokenType  # pyright: ignore[reportPrivateUsage]

_TYPES: dict[TokenKind, _TokenType] = {
    "space": Whitespace,
    "comment": Comment.Single,
    "string": String.Double,
    "noise": Text,
    "statement": Keyword.Declaration,
    "word": Keyword,
    "reduction": Name.Builtin,
    "sign": Operator,
    "times": Operator,
    "number": Number,
    "name": Name.Variable,
    "tag": Name.Tag,
    "bracket": Punctuation,
    "wrong": Error,
}


class CldfLexer(Lexer):
    """Colours `.cldf` files in all three spellings.

    Kernels that the text declares have a colour of their own wherever they are used.
    """

    name = "CLDF"
    aliases: ClassVar[Sequence[str]] = ["cldf"]
    filenames: ClassVar[Sequence[str]] = ["*.cldf"]

    def get_tokens_unprocessed(self, text: str) -> Iterator[tuple[int, _TokenType, str]]:
        tokens = list(tokens_of(text))
        declared = _declared_names(tokens)
        kernels = {canonical_name(token.text) for token, word in declared.items() if word == "kernel"}
        for token in tokens:
            yield token.start, _type_of(token, declared.get(token), kernels), token.text


def _declared_names(tokens: list[Token]) -> dict[Token, str]:
    """The names that follow the word that starts a statement, with that word."""
    words = [token for token in tokens if token.kind not in ("space", "comment")]
    return {name: word.text for word, name in pairwise(words) if word.kind == "statement" and name.kind == "name"}


def _type_of(token: Token, declared_by: str | None, kernels: set[str]) -> _TokenType:
    if token.kind != "name":
        return Punctuation if token.text in (",", ":") else _TYPES[token.kind]
    if declared_by == "model":
        return Name.Class
    name = canonical_name(token.text)
    if name in BUILTINS:
        return Name.Builtin
    return Name.Function if name in kernels else Name.Variable
