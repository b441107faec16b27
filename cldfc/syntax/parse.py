"""Text → tree, statement by statement, so that every wrong statement is reported."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from threading import get_ident
from typing import TYPE_CHECKING, cast

from lark import Lark
from lark.exceptions import UnexpectedInput

from cldfc.collector import collector_paused
from cldfc.diagnostics import Problems, Source, Span
from cldfc.syntax import tables, tree
from cldfc.syntax.build import Builder
from cldfc.syntax.keywords import LANGUAGE, STATEMENTS
from cldfc.syntax.spelling import COMMENT, NOISE, STARTS_COMMENT
from cldfc.syntax.walk import nesting

if TYPE_CHECKING:
    from cldfc.syntax.rows import LatexLines

MAX_NESTING = 200
MOST_WRONG = 20

# A line that says nothing: LaTeX around an equation, its number, or what the sentence puts after it.
NUMBERED = r"\([0-9]+[a-z]?(?:\.[0-9]+[a-z]?)?\)"
NOTHING = rf"(?:[ \t\r]|{NOISE}|\\left *\\\{{)*"
BLANK = re.compile(rf"{NOTHING}(?:(?:{NUMBERED}|[.,;]){NOTHING})?(?:{COMMENT})?")
BLANK_STARTS = "$\\&(~.,;"
# What a sentence of a paper puts after an equation, its number perhaps, and LaTeX around that.
SPACE = rf"(?:{NOISE}|[ \t\r])*"
AFTER = re.compile(rf"(?:{SPACE}[.,;](?:{SPACE}{NUMBERED})?)*{SPACE}$")
# Where LaTeX begins, or a line that a paper has broken.
LATEX = re.compile(r"[\\$]|^[-+*=)\]∘⊙×.&]")
LONGEST_ENDING = 200


def parse_spec(source: Source, problems: Problems) -> tree.Tree:
    """Read a spec; wrong statements are reported to `problems` and left out of the tree."""
    parser, builder = parser_of(get_ident())
    builder.problems = problems
    statements: list[tree.Statement] = []
    with collector_paused():
        for span in split_statements(source):
            if len(problems.found) >= MOST_WRONG:
                message = f"the file is not read from here on, because {MOST_WRONG} errors come before"
                help = "correct the errors above, or check that this is a spec"
                problems.report("E0109", message, span, "not read", help)
                problems.lost = True
                break
            builder.statement = span
            read = parse_statement(parser, span, problems)
            version = next((one for one in read if isinstance(one, tree.Version)), None)
            if version and not can_be_read(version, not statements, problems):
                break
            statements += read
    return tree.Tree(tuple(statements), source)


@cache
def parser_of(thread: int) -> tuple[Lark, Builder]:
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
    latex: LatexLines | None = None
    for line in source.text.split("\n"):
        if latex is None and LATEX.search(line):
            from cldfc.syntax.rows import LatexLines

            latex = LatexLines()
        for at, piece in ((0, line),) if latex is None else latex.pieces(line):
            text = piece.lstrip()
            is_blank = not text or text[0] in "#%" or (text[0] in BLANK_STARTS and BLANK.fullmatch(text))
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


def without_ending(text: str) -> str:
    """An equation without the full stop or comma that a sentence puts after it."""
    first = text.split(None, 1)[0]
    if first in STATEMENTS:
        return text
    line = text.rfind("\n") + 1
    end = next((found.start() for found in STARTS_COMMENT.finditer(text, line) if found[1]), len(text))
    ending = AFTER.search(text, max(line, end - LONGEST_ENDING), end)
    return text[: ending.start()] if ending and ending.start() else text


def can_be_read(version: tree.Version, is_first: bool, problems: Problems) -> bool:
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


def report_indented(statement: Span, problems: Problems) -> bool:
    """A line inside a statement that starts like one of its own; False when there is none."""
    at = statement.text.find("\n")
    while at >= 0:
        end = statement.text.find("\n", at + 1)
        line = statement.text[at + 1 : end if end >= 0 else None]
        words = line.split(None, 1)
        if len(words) == 2 and words[0] in STATEMENTS:
            start = statement.start + at + 1 + line.index(words[0])
            place = Span(statement.source, start, start + len(words[0]))
            help = "a line that starts with white space continues the one before: start statements in the first column"
            problems.report("E0101", f"unexpected `{words[0]}`", place, "inside another statement", help)
            return True
        at = end
    return False


def parse_statement(parser: Lark, span: Span, problems: Problems) -> list[tree.Statement]:
    """One statement, or none when it is wrong; what is said then is loaded only then."""
    found = len(problems.found)
    if not report_indented(span, problems):
        try:
            statement = cast(tree.Statement, parser.parse(without_ending(span.text)))  # pyright: ignore[reportUnknownMemberType]
        except UnexpectedInput as error:
            from cldfc.syntax.errors import report_syntax

            report_syntax(error, span, problems)
        else:
            if nesting(statement) > MAX_NESTING:
                message = f"this statement nests more than {MAX_NESTING} levels deep"
                help = "name a part of it with `let`, or give a partial result an equation of its own"
                problems.report("E0105", message, span, "too deep", help)
            if len(problems.found) == found:
                return [statement]
    from cldfc.syntax.errors import note_names

    note_names(span, problems)
    return []
