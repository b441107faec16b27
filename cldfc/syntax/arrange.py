"""The text of a whole file → the same, formatted: comments and paragraphs stay, blocks are aligned."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise, takewhile

from cldfc.diagnostics import CldfError, Problems, Source, UsageError
from cldfc.syntax import tree
from cldfc.syntax.format import Formatter, Line, Spelling, statement_line
from cldfc.syntax.parse import parse_spec, split_statements
from cldfc.syntax.side_by_side import read_in_context

LONGEST_LINE = 100
_WIDEST_HEAD = 24
_INDENT = "    "

# A `#` in a path or in a LaTeX label starts no comment.
_COMMENT = re.compile(r'"[^"\n]*"|\\(?:tag\*?|label|begin|end) *\{[^{}\n]*\}|([#%][^\n]*)')
_BRACKETS = {"(": 1, ")": -1, "{": 1, "}": -1, "[": 9, "]": -9}
_BRACKET_OR_BREAK = re.compile(r"[(\[{]|[)\]}]|(?<=,) | (?=[+-] )")


@dataclass(frozen=True, slots=True)
class _CommentedLine:
    line: Line
    comment: str = ""


_Item = _CommentedLine | str
"""A statement, a comment on a line of its own, or a blank line."""


def format_source(source: Source, spelling: Spelling = "unicode") -> str:
    """Format a file. Raises CldfError when it has syntax errors."""
    statements = read_statements(source)
    items = list(_items_of(source, statements, Formatter(spelling, _tagged_names(statements))))
    lines = [line for kind, group in groupby(items, _block_kind) for line in _block(kind, list(group))]
    paragraphs = [line for before, line in pairwise(["", *lines]) if before or line]
    text = "".join(f"{line}\n" for line in paragraphs).rstrip("\n")
    text += "\n" if text else ""
    if not _says(Source(source.name, text), statements):
        raise UsageError(f"`{source.name}` stays as it is: formatted, it would not say the same", "please report this")
    return text


def _says(source: Source, statements: tuple[tree.Statement, ...]) -> bool:
    try:
        return read_statements(source) == statements
    except CldfError:
        return False


def _tagged_names(statements: Sequence[tree.Statement]) -> set[str]:
    heads: list[tree.Symbol] = []
    for statement in statements:
        match statement:
            case tree.Let(symbol) | tree.KernelStatement(symbol) | tree.Scalar(symbol) | tree.Equation(symbol):
                heads.append(symbol)
            case _:
                pass
    return {head.name for head in heads if head.tag}


def read_statements(source: Source) -> tuple[tree.Statement, ...]:
    """The statements of a file. Raises CldfError when it has syntax errors."""
    problems = Problems()
    spec = parse_spec(source, problems)
    problems.stop_if_any()
    return read_in_context(spec.statements)


def _items_of(source: Source, statements: Sequence[tree.Statement], formatter: Formatter) -> Iterator[_Item]:
    end = 0
    for span, statement in zip(split_statements(source), statements, strict=True):
        yield from _between(source.text[end : span.start], end == 0)
        *before, comment = map(comment_in, span.text.split("\n"))
        yield from filter(None, before)
        yield _CommentedLine(statement_line(statement, formatter), comment)
        end = span.end
    yield from _between(source.text[end:] + "\n", end == 0)


def _between(text: str, is_first: bool) -> Iterator[str]:
    """The comments and blank lines before a statement; LaTeX around equations is left out."""
    for line in text.split("\n")[0 if is_first else 1 : -1]:
        comment = comment_in(line)
        if comment or not line.strip():
            yield comment


def comment_in(line: str) -> str:
    """The comment on a line, or an empty text."""
    return next((found[1].rstrip() for found in _COMMENT.finditer(line) if found[1]), "")


def _block_kind(item: _Item) -> str:
    return item.line.kind if isinstance(item, _CommentedLine) else ""


def _block(kind: str, items: Sequence[_Item]) -> Iterator[str]:
    aligned = [item.line for item in items if isinstance(item, _CommentedLine)] if kind else []
    keyword = max((len(line.keyword) for line in aligned), default=0)
    head = max((len(line.head) for line in aligned if len(line.head) <= _WIDEST_HEAD), default=0)
    for item in items:
        if isinstance(item, str):
            yield item
            continue
        text = item.line.text(keyword, head)
        lines = list(_wrap(text)) if item.line.sign else [text]
        yield "\n".join(lines) + (f"  {item.comment}" if item.comment else "")


def _wrap(text: str) -> Iterator[str]:
    """A statement on lines of 100 columns, broken behind commas and before signs, the outermost first."""
    breaks, at, start, indent = list(breaks_of(text)), 0, 0, ""
    while len(indent) + len(text) - start > LONGEST_LINE:
        last = start + LONGEST_LINE - len(indent)
        while at < len(breaks) and breaks[at][0] <= start:
            at += 1
        fitting = list(takewhile(lambda found: found[0] <= last, breaks[at : at + LONGEST_LINE])) or breaks[at : at + 1]  # noqa: B023
        if not fitting:
            break
        end = max(fitting, key=lambda found: (-found[1], found[0]))[0]
        yield indent + text[start:end]
        start, indent = end + 1, _INDENT
    yield indent + text[start:]


def breaks_of(text: str) -> Iterator[tuple[int, int]]:
    """The white space at which a statement can be broken, and the number of brackets around it."""
    depth = 0
    for found in _BRACKET_OR_BREAK.finditer(text):
        if found[0] == " ":
            yield found.start(), depth
        else:
            # Of all places the worst is inside `maxpool[3, stride=2]`.
            depth += _BRACKETS[found[0]]
