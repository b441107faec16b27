"""Offsets in a text ↔ the lines and characters of the protocol, counted in UTF-16 unless the editor offers more."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

from lsprotocol.types import Position, PositionEncodingKind, Range

LINE_END = re.compile("\r\n|\n|\r")
UNITS: Mapping[str, Callable[[str], int]] = {
    PositionEncodingKind.Utf8: lambda text: len(text.encode()),
    PositionEncodingKind.Utf16: lambda text: len(text.encode("utf-16-le")) // 2,
    PositionEncodingKind.Utf32: len,
}
"""How long a text is in the units of each encoding."""


@dataclass(frozen=True)
class Positions:
    text: str
    encoding: str = PositionEncodingKind.Utf16

    @cached_property
    def starts(self) -> list[int]:
        return [0, *(found.end() for found in LINE_END.finditer(self.text))]

    def position(self, offset: int) -> Position:
        """The line and character of an offset, both from 0."""
        line = bisect_right(self.starts, offset) - 1
        return Position(line, UNITS[self.encoding](self.text[self.starts[line] : offset]))

    def range(self, start: int, end: int) -> Range:
        return Range(self.position(start), self.position(end))

    def offset(self, position: Position) -> int:
        """The offset of a position; of one that lies behind its line or behind the text, the nearest."""
        if position.line >= len(self.starts):
            return len(self.text)
        start, left = self.starts[position.line], position.character
        line = LINE_END.split(self.text[start:], maxsplit=1)[0]
        for at, character in enumerate(line):
            left -= UNITS[self.encoding](character)
            if left < 0:
                return start + at
        return start + len(line)
