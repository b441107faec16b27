"""Text → tree, statement by statement, so that every wrong statement is reported."""

from __future__ import annotations

import gc
import re
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from threading import get_ident
from typing import cast

from lark import Lark
from lark.exceptions import UnexpectedInput

from cldfc.diagnostics import Problems, Source, Span
from cldfc.syntax import tables, tree
from cldfc.syntax.build import Builder
from cldfc.syntax.keywords import LANGUAGE, STATEMENTS
from cldfc.syntax.recall import Recall
from cldfc.syntax.spelling import COMMENT, NAME, NOISE, ROW_END, STARTS_COMMENT, STEPS_OF_FIX, TAG
from cldfc.syntax.walk import nesting


@contextmanager
def collector_paused() -> Generator[None]:
    """No collection meanwhile; also a decorator."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


MAX_NESTING = 200
MOST_WRONG = 20

# A line that says nothing: LaTeX around an equation, its number, or what the sentence puts after it.
_NUMBERED = r"\([0-9]+[a-z]?(?:\.[0-9]+[a-z]?)?\)"
_NOTHING = rf"(?:[ \t\r]|{NOISE}|\\left *\\\{{)*"
_BLANK = re.compile(rf"{_NOTHING}(?:(?:{_NUMBERED}|[.,;]){_NOTHING})?(?:{COMMENT})?")
_BLANK_STARTS = "$\\&(~.,;"
# What a sentence of a paper puts after an equation, its number perhaps, and LaTeX around that.
_SPACE = rf"(?:{NOISE}|[ \t\r])*"
_AFTER = re.compile(rf"(?:{_SPACE}[.,;](?:{_SPACE}{_NUMBERED})?)*{_SPACE}$")
# Where LaTeX begins, or a line that a paper has broken.
_LATEX = re.compile(r"[\\$]|^[-+*=)\]∘⊙×.&]")
_LONGEST_ENDING = 200


def parse_spec(source: Source, problems: Problems) -> tree.Tree:
    """Read a spec; wrong statements are reported to `problems` and left out of the tree."""
    parser, builder = _parser_of(get_ident())
    builder.problems = problems
    statements: list[tree.Statement] = []
    likenesses: dict[int, tree.Likeness] = {}
    recall = Recall()
    with collector_paused():
        for span in split_statements(source):
            if len(problems.found) >= MOST_WRONG:
                message = f"the file is not read from here on, because {MOST_WRONG} errors come before"
                help = "correct the errors above, or check that this is a spec"
                problems.report("E0109", message, span, "not read", help)
                problems.lost = True
                break
            builder.statement = span
            known = recall.statement(span)
            if known is not None:
                likenesses[id(known.statement)] = known
                statements.append(known.statement)
                continue
            read = _parse_statement(parser, span, problems)
            if read:
                recall.keep(span, read[0])
            version = next((one for one in read if isinstance(one, tree.Version)), None)
            if version and not _can_be_read(version, not statements, problems):
                break
            statements += read
    return tree.Tree(tuple(statements), source, likenesses)


@cache
def _parser_of(thread: int) -> tuple[Lark, Builder]:
    """The parser of a thread, and what makes trees of what it reads: to load it takes longer than to read a spec."""
    builder = Builder()
    data = tables.SAVED["data"]
    options = data["options"] | {"transformer": builder}
    load = Lark.load  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
    return load(tables.SAVED | {"data": data | {"options": options}}), builder


def split_statements(source: Source) -> Iterator[Span]:
    """The stretches of single statements: an indented line continues the one before.

    In LaTeX, white space says nothing: there a line that starts like an equation is one, any other continues it.
    """
    start, end, offset = None, 0, 0
    latex: _LatexLines | None = None
    for line in source.text.split("\n"):
        if latex is None and _LATEX.search(line):
            latex = _LatexLines()
        for at, piece in ((0, line),) if latex is None else latex.pieces(line):
            text = piece.lstrip()
            is_blank = not text or text[0] in "#%" or (text[0] in _BLANK_STARTS and _BLANK.fullmatch(text))
            starts = (text is line or line[0] not in " \t") if latex is None else latex.starts_statement(piece, at)
            if not is_blank:
                if start is None or starts:
                    if start is not None:
                        yield Span(source, start, end)
                    start = offset + at
                end = offset + at + len(piece.rstrip())
        offset += len(line) + 1
    if start is not None:
        yield Span(source, start, end)


def _without_ending(text: str) -> str:
    """An equation without the full stop or comma that a sentence puts after it."""
    first = text.split(None, 1)[0]
    if first in STATEMENTS:
        return text
    line = text.rfind("\n") + 1
    end = next((found.start() for found in STARTS_COMMENT.finditer(text, line) if found[1]), len(text))
    ending = _AFTER.search(text, max(line, end - _LONGEST_ENDING), end)
    return text[: ending.start()] if ending and ending.start() else text


def _can_be_read(version: tree.Version, is_first: bool, problems: Problems) -> bool:
    """Whether a version is this language's. Another one is reported, and so is one that is not first."""
    if version.number != LANGUAGE:
        message = f"version {version.number} of the language is unknown: this cldfc reads version {LANGUAGE}"
        help = f"update cldfc, or write `cldf {LANGUAGE}`"
        problems.report("E0110", message, version.span, "unknown", help)
        problems.lost = True
        return False
    if not is_first:
        message = f"`cldf {LANGUAGE}` is not the first statement"
        problems.report("E0110", message, version.span, "after others", "put it before all others, once")
    return True


def _report_indented(statement: Span, problems: Problems) -> bool:
    """A line inside a statement that starts like one of its own; False when there is none."""
    at = statement.text.find("\n")
    while at >= 0:
        end = statement.text.find("\n", at + 1)
        line = statement.text[at + 1 : end if end >= 0 else None]
        words = line.split(None, 1)
        if len(words) == 2 and words[0] in STATEMENTS and not STEPS_OF_FIX.match(line.lstrip()):
            start = statement.start + at + 1 + line.index(words[0])
            place = Span(statement.source, start, start + len(words[0]))
            help = "a line that starts with white space continues the one before: start statements in the first column"
            problems.report("E0101", f"unexpected `{words[0]}`", place, "inside another statement", help)
            return True
        at = end
    return False


def _parse_statement(parser: Lark, span: Span, problems: Problems) -> list[tree.Statement]:
    """One statement, or none when it is wrong; what is said then is loaded only then."""
    found = len(problems.found)
    if not _report_indented(span, problems):
        try:
            statement = cast(tree.Statement, parser.parse(_without_ending(span.text)))  # pyright: ignore[reportUnknownMemberType]
        except UnexpectedInput as error:
            from cldfc.syntax.parse_errors import report_syntax

            report_syntax(error, span, problems)
        else:
            if nesting(statement) > MAX_NESTING:
                message = f"this statement nests more than {MAX_NESTING} levels deep"
                help = "name a part of it with `let`, or give a partial result an equation of its own"
                problems.report("E0105", message, span, "too deep", help)
            if len(problems.found) == found:
                return [statement]
    from cldfc.syntax.parse_errors import note_names

    note_names(span, problems)
    return []


_A_LITTLE = rf"(?:{NOISE}|[ \t\r]){{0,20}}"
_IS = r"(?:=(?!=)|:&?=|\\(?:gets|leftarrow|coloneqq)(?![A-Za-z]))"
# `x^{k+1} &=`, however much says nothing before it.
_EQUATION = re.compile(rf"{_A_LITTLE}(?P<name>{NAME})(?:[ \t]*(?P<tag>{TAG}))?{_A_LITTLE}{_IS}")
_ROW = re.compile(ROW_END)
_NEXT = re.compile(rf"[,;]{_A_LITTLE}\\q?quad(?![A-Za-z])")
# `1 : K`, `1..K`, `1, \dots, K`.
_RANGE = re.compile(r"[^=:(*]*?(?::(?!=)|\.\.|\\[lc]?dots(?![A-Za-z]))")
_BROKEN_LINE = re.compile(
    rf"(?:{NOISE}|[ \t\r])*(?:[-+*=)\]∘⊙×]|\\(?:circ|odot|ast|cdot|circledast|times|right)(?![A-Za-z])|\.\*)"
)
_ENVIRONMENT = re.compile(r"(?P<open>\\begin(?![A-Za-z])|\\\[)|(?P<close>\\end(?![A-Za-z])|\\\])|(?P<both>\$\$)")


@dataclass
class _LatexLines:
    r"""Whether a line stands inside `\begin{align}` and the like, or after a row that `\\` has ended."""

    depth: int = 0
    is_row_ended: bool = False

    def starts_statement(self, line: str, at: int) -> bool:
        """Whether a piece of a line, at a place in it, starts a statement, if it says anything; to be asked in turn."""
        text = line.lstrip()
        is_indented, is_inside = text is not line, self.depth > 0
        for found in _ENVIRONMENT.finditer(line):
            opens = found.lastgroup == "open" or (found.lastgroup == "both" and not self.depth)
            self.depth = max(0, self.depth + (1 if opens else -1))
            is_inside |= opens
        is_ended, self.is_row_ended = self.is_row_ended, text.rstrip().endswith("\\\\")
        if at:
            return True
        if is_inside or (is_ended and is_indented):
            starts = next(iter(text.split(None, 1)), "") in STATEMENTS and not STEPS_OF_FIX.match(text)
            return starts or _EQUATION.match(line) is not None
        return not is_indented and not _BROKEN_LINE.match(line)

    def pieces(self, line: str) -> Iterator[tuple[int, str]]:
        r"""The equations that stand on one line, with their places: `a = b \\ c = d`, `a = b, \quad c^{0} = d`."""
        if "\\" not in line:
            yield 0, line
            return
        comment = next((found.start() for found in STARTS_COMMENT.finditer(line) if found[1]), len(line))
        ends = [at for at in _match_ends(_ROW, line, comment) if line[:at].strip(" \t\\") and _EQUATION.match(line, at)]
        for at in _match_ends(_NEXT, line, comment):
            # What has no subscript is the index of a range: `a = b, \quad k = 1`; so is `k_{max} = 1:K`.
            found = _EQUATION.match(line, at)
            if found and (found["tag"] or "_" in found["name"]) and not _RANGE.match(line, found.end()):
                ends.append(at)
        for start, end in pairwise([0, *sorted(ends), len(line)]):
            yield start, line[start:end]


def _match_ends(pattern: re.Pattern[str], line: str, end: int) -> Iterator[int]:
    """Where what looks like a pattern ends, before a place on the line."""
    return (found.end() for found in pattern.finditer(line, 0, end))
