"""A console of rich that takes every text as it is, and spells letters that the stream lacks in ASCII."""

from __future__ import annotations

import io
import sys
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from typing import Any, TextIO

from rich import console as rich_console
from rich.console import ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from cldfc.output import encoding_of, printable


class Console(rich_console.Console):
    """Neither markup nor control characters in a text do anything; in the cell of a table, a line break does not."""

    def __init__(self, file: TextIO, written_as: str = "", **options: Any) -> None:
        super().__init__(file=file, markup=False, emoji=False, highlight=False, **options)
        self.written_as = written_as or encoding_of(file)

    @property
    def encoding(self) -> str:
        """What decides how boxes and bars are drawn."""
        return self.written_as.lower()

    def render_str(self, text: str, *, style: Any = "", **options: Any) -> Text:
        """A text, which may have no markup."""
        return super().render_str(printable(text, self.encoding), style=style, **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """What is printed, piece by piece."""
        for segment in super().render(renderable, options):
            text = segment.text
            if segment.control or (text.isascii() and text.isprintable()):
                yield segment
            else:
                lines = "\n".join(printable(line, self.encoding) for line in text.split("\n"))
                yield Segment(lines, segment.style)


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
