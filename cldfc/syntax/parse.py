"""Text → tree, statement by statement, so that every wrong statement is reported."""

from __future__ import annotations

import gc
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import cast

from lark import Lark
from lark.exceptions import UnexpectedInput

from cldfc.diagnostics import Problems, Source, Span
from cldfc.syntax import tables, tree
from cldfc.syntax.build import Builder
from cldfc.syntax.errors import note_names, report_syntax
from cldfc.syntax.walk import nesting

MAX_NESTING = 200
MOST_WRONG = 20


def parse_spec(source: Source, problems: Problems) -> tree.Spec:
    """Read a spec; wrong statements are reported to `problems` and left out of the tree."""
    builder = Builder(problems)
    load = Lark._load_from_dict  # pyright: ignore[reportPrivateUsage, reportUnknownVariableType, reportUnknownMemberType]
    parser: Lark = load(tables.DATA, tables.MEMO, transformer=builder)
    statements: list[tree.Statement] = []
    with collector_paused():
        for span in split_statements(source):
            if len(problems.found) >= MOST_WRONG:
                report_many(span, problems)
                break
            builder.statement = span
            statements += parse_statement(parser, span, problems)
    return tree.Spec(tuple(statements), source)


@contextmanager
def collector_paused() -> Generator[None]:
    """The cyclic garbage collector makes long parses three times slower, and finds nothing."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def split_statements(source: Source) -> Iterator[Span]:
    """The stretches of single statements: an indented line continues the one before."""
    start, end, offset = None, 0, 0
    for line in source.text.split("\n"):
        text = line.lstrip()
        if text and not text.startswith("#"):
            if start is None or text is line or line[0] not in " \t":
                if start is not None:
                    yield Span(source, start, end)
                start = offset
            end = offset + len(line.rstrip())
        offset += len(line) + 1
    if start is not None:
        yield Span(source, start, end)


def report_many(span: Span, problems: Problems) -> None:
    """A file in which so much is wrong that it is perhaps no spec."""
    message = f"the file is not read from here on, for {MOST_WRONG} errors stand before"
    problems.report("E0109", message, span, "not read", "correct the errors before, or check that this is a spec")
    problems.lost = True


def parse_statement(parser: Lark, span: Span, problems: Problems) -> list[tree.Statement]:
    """One statement, or none when it is wrong."""
    found = len(problems.found)
    try:
        statement = cast(tree.Statement, parser.parse(span.text))  # pyright: ignore[reportUnknownMemberType]
    except UnexpectedInput as error:
        report_syntax(error, span, problems)
    else:
        if nesting(statement) > MAX_NESTING:
            problems.report(
                "E0105",
                f"this statement nests more than {MAX_NESTING} levels deep",
                span,
                "too deep",
                "name a part of it with `let`, or give a partial result an equation of its own",
            )
        if len(problems.found) == found:
            return [statement]
    note_names(span, problems)
    return []
