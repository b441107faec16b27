"""A console of rich that takes every text as it is, and spells letters that the stream lacks in ASCII."""

from __future__ import annotations

import io
import sys
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from itertools import accumulate
from typing import Any, Literal, TextIO

from rich import console as rich_console
from rich import text as rich_text
from rich.console import ConsoleOptions, RenderableType
from rich.measure import Measurement
from rich.segment import Segment
from rich.table import Table
from rich.text import Span

from cldfc.output import UTF8, encoding_of, printable


class Text(rich_text.Text):
    """A text whose width is known when its letters are spelled as the console needs them."""

    def __rich_measure__(self, console: rich_console.Console, options: ConsoleOptions) -> Measurement:
        return rich_text.Text.__rich_measure__(_spelled(self, console.encoding), console, options)


def _spelled(text: rich_text.Text, encoding: str) -> rich_text.Text:
    """The text as an encoding has it, with the styles where they were."""
    if text.plain.replace("\n", "").isprintable() and (encoding == UTF8 or text.plain.isascii()):
        return text
    letters = [letter if letter == "\n" else printable(letter, encoding) for letter in text.plain]
    places = [0, *accumulate(map(len, letters))]
    found = text.copy()
    found.plain = "".join(letters)
    found.spans = [Span(places[span.start], places[min(span.end, len(letters))], span.style) for span in text.spans]
    return found


class Console(rich_console.Console):
    """Neither markup nor control characters in a text do anything; in the cell of a table, a line break does not."""

    def __init__(self, file: TextIO, written_as: str = "", **options: Any) -> None:
        super().__init__(file=file, markup=False, emoji=False, highlight=False, **options)
        self.written_as = written_as or encoding_of(file)

    @property
    def encoding(self) -> str:
        # rich draws boxes and bars by this.
        return self.written_as.lower()

    def render_str(self, text: str, *, style: Any = "", **options: Any) -> rich_text.Text:
        return super().render_str(printable(text, self.encoding), style=style, **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        if isinstance(renderable, rich_text.Text):
            renderable = _spelled(renderable, self.encoding)
        for segment in super().render(renderable, options):
            text = segment.text
            if segment.control or (text.isascii() and text.isprintable()):
                yield segment
            else:
                lines = "\n".join(printable(line, self.encoding) for line in text.split("\n"))
                yield Segment(lines, segment.style)


_NARROWEST = 8
"""Columns of text that is folded."""


Column = Literal["text", "word", "figure"]
"""What a column holds: texts, which are folded where there is little room, words, or figures, which stand right."""


def print_table(
    shown: rich_console.Console, columns: Mapping[str, Column], rows: Sequence[Sequence[RenderableType]], gap: int = 1
) -> None:
    """Print a table with as many of its columns, from the left, as there is room for, so that no figure is cut.

    `columns` are their heads and kinds.
    """
    count = len(columns)
    while count > 1 and _width_of(shown, list(columns.items())[:count], rows, gap) > shown.width:
        count -= 1
    table = Table(box=None, header_style="bold", padding=(0, gap, 0, 0), pad_edge=False)
    for head, kind in list(columns.items())[:count]:
        table.add_column(head, justify="right" if kind == "figure" else "left", overflow="fold", no_wrap=kind != "text")
    for row in rows:
        table.add_row(*row[:count])
    shown.print(table)


def _width_of(
    shown: rich_console.Console,
    columns: Sequence[tuple[str, Column]],
    rows: Sequence[Sequence[RenderableType]],
    gap: int,
) -> int:
    width = 0
    for at, (head, kind) in enumerate(columns):
        cells = [head, *(row[at] for row in rows)]
        widest = max(Measurement.get(shown, shown.options, cell).maximum for cell in cells)
        width += min(widest, _NARROWEST if kind == "text" else widest) + gap
    return width - gap


@contextmanager
def console() -> Generator[Console]:
    """A console on standard output; in a pipe, without white space at the ends of lines."""
    stream = sys.stdout
    live = Console(stream)
    if live.is_terminal or live.is_jupyter:
        yield live
        return
    text = io.StringIO()
    yield Console(text, encoding_of(stream))
    stream.write("".join(f"{line.rstrip()}\n" for line in text.getvalue().split("\n")[:-1]))
