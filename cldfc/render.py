"""Diagnostics as text: the place in the source, underlined, and what to write instead."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Sequence

from cldfc.diagnostics import Diagnostic, Label, Source
from cldfc.output import UTF8, printable

Piece = tuple[str, str]
"""Text and the style that a terminal gives it."""

WIDEST_LINE = 140
ERROR, REMARK, PLACE, HELP, PLAIN, BOLD = "bold red", "bold yellow", "blue", "green", "", "bold"


def render(diagnostics: Sequence[Diagnostic], is_last: bool = True, encoding: str = UTF8) -> Iterator[list[Piece]]:
    """The lines of a report on errors or on remarks, each as pieces with a style, for a terminal of an encoding.

    The last report of a run says where there is more.
    """
    for line in report_lines(diagnostics, is_last, encoding):
        yield [(printable(text, encoding), style) for text, style in line]


def report_lines(diagnostics: Sequence[Diagnostic], is_last: bool, encoding: str) -> Iterator[list[Piece]]:
    for diagnostic in diagnostics:
        style = ERROR if diagnostic.severity == "error" else REMARK
        yield [(f"{diagnostic.severity}[{diagnostic.code}]", style), (f": {diagnostic.message}", BOLD)]
        yield from render_places(diagnostic.places, encoding)
        yield [("  = ", PLACE), ("help: ", HELP), (diagnostic.help, PLAIN)]
        yield []
    files = dict.fromkeys(d.places[0].span.source.name for d in diagnostics)
    what = diagnostics[0].severity
    count = f"1 {what}" if len(diagnostics) == 1 else f"{len(diagnostics)} {what}s"
    yield [(f"{count} in {', '.join(files)}", ERROR if what == "error" else REMARK)]
    code = diagnostics[0].code
    if is_last:
        yield [(f"for more about {code}: cldfc explain {code}", PLAIN)]


def render_places(places: Sequence[Label], encoding: str) -> Iterator[list[Piece]]:
    """The lines of the sources that a diagnostic speaks of, in the order of the text.

     --> net.cldf:4:9
      |
    3 | let f = A * x
      |     - defined here
    4 | let f = B * x
      |     ^ defined again
    """
    margin = max(len(str(place.span.line)) for place in places)
    primary = places[0].span.source
    for source in dict.fromkeys([primary, *(place.span.source for place in places)]):
        here = sorted((p for p in places if p.span.source is source), key=lambda p: (p.span.line, p is not places[0]))
        arrow = "-->" if source is primary else ":::"
        start = places[0].span if source is primary else here[0].span
        yield [(f"{'':{margin}}{arrow} ", PLACE), (str(start), PLAIN)]
        yield [(f"{'':{margin}} |", PLACE)]
        before = 0
        for place in here:
            line = place.span.line
            if before and line > before + 1:
                yield [(f"{'':{margin}} ⋮", PLACE)]
            yield from render_place(source, place, place is places[0], margin, line != before, encoding)
            before = line


def render_place(
    source: Source, place: Label, is_primary: bool, margin: int, with_line: bool, encoding: str
) -> Iterator[list[Piece]]:
    number, column = source.position(place.span.start)
    text = source.line(number).replace("\t", " ")
    cut = max(0, min(column - 1, len(text)) - WIDEST_LINE // 2)
    shown = text[cut : cut + WIDEST_LINE]
    on_first_line = place.span.text.split("\n", 1)[0].rstrip()
    marked = text[column - 1 : column - 1 + len(on_first_line)]
    if with_line:
        before, after = "…" * (cut > 0), "…" * (cut + WIDEST_LINE < len(text))
        yield [(f"{number:{margin}} | ", PLACE), (before + shown + after, PLAIN)]
    indent = " " * columns_of("…" * (cut > 0) + text[cut : column - 1], encoding)
    mark = "^" if is_primary else "-"
    under = mark * max(1, min(columns_of(marked, encoding), WIDEST_LINE // 2))
    yield [(f"{'':{margin}} | ", PLACE), (f"{indent}{under} {place.text}".rstrip(), ERROR if is_primary else PLACE)]


def columns_of(text: str, encoding: str) -> int:
    return sum(character_cells(character) for character in printable(text, encoding))


def character_cells(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def plain_text(lines: Iterable[list[Piece]]) -> str:
    return "".join("".join(text for text, _ in line).rstrip() + "\n" for line in lines)
