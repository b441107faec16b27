"""Where equations start and end in LaTeX, whose white space says nothing: rows, broken lines, several on one line."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from cldfc.syntax.keywords import STATEMENTS
from cldfc.syntax.spelling import NAME, NOISE, ROW_END, STARTS_COMMENT, TAG

A_LITTLE = rf"(?:{NOISE}|[ \t\r]){{0,20}}"
IS = r"(?:=(?!=)|:&?=|\\(?:gets|leftarrow|coloneqq)(?![A-Za-z]))"
# `x^{k+1} &=`, however much says nothing before it.
EQUATION = re.compile(rf"{A_LITTLE}(?P<name>{NAME})(?:[ \t]*(?P<tag>{TAG}))?{A_LITTLE}{IS}")
ROW = re.compile(ROW_END)
NEXT = re.compile(rf"[,;]{A_LITTLE}\\q?quad(?![A-Za-z])")
# `1 : K`, `1..K`, `1, \dots, K`.
RANGE = re.compile(r"[^=:(*]*?(?::(?!=)|\.\.|\\[lc]?dots(?![A-Za-z]))")
BROKEN_LINE = re.compile(
    rf"(?:{NOISE}|[ \t\r])*(?:[-+*=)\]∘⊙×]|\\(?:circ|odot|ast|cdot|circledast|times|right)(?![A-Za-z])|\.\*)"
)
ENVIRONMENT = re.compile(r"(?P<open>\\begin(?![A-Za-z])|\\\[)|(?P<close>\\end(?![A-Za-z])|\\\])|(?P<both>\$\$)")


@dataclass
class LatexLines:
    r"""Whether a line stands inside `\begin{align}` and the like, or after a row that `\\` has ended."""

    depth: int = 0
    is_row_ended: bool = False

    def starts_statement(self, line: str, at: int) -> bool:
        """Whether a piece of a line, at a place in it, starts a statement, if it says anything; to be asked in turn."""
        text = line.lstrip()
        is_indented, is_inside = text is not line, self.depth > 0
        for found in ENVIRONMENT.finditer(line):
            opens = found.lastgroup == "open" or (found.lastgroup == "both" and not self.depth)
            self.depth = max(0, self.depth + (1 if opens else -1))
            is_inside |= opens
        is_ended, self.is_row_ended = self.is_row_ended, text.rstrip().endswith("\\\\")
        if at:
            return True
        if is_inside or (is_ended and is_indented):
            return EQUATION.match(line) is not None or next(iter(text.split(None, 1)), "") in STATEMENTS
        return not is_indented and not BROKEN_LINE.match(line)

    def pieces(self, line: str) -> Iterator[tuple[int, str]]:
        r"""The equations that stand on one line, with their places: `a = b \\ c = d`, `a = b, \quad c^{0} = d`."""
        if "\\" not in line:
            yield 0, line
            return
        comment = next((found.start() for found in STARTS_COMMENT.finditer(line) if found[1]), len(line))
        ends = [at for at in match_ends(ROW, line, comment) if line[:at].strip(" \t\\") and EQUATION.match(line, at)]
        for at in match_ends(NEXT, line, comment):
            # What has no subscript is the index of a range: `a = b, \quad k = 1`; so is `k_{max} = 1:K`.
            found = EQUATION.match(line, at)
            if found and (found["tag"] or "_" in found["name"]) and not RANGE.match(line, found.end()):
                ends.append(at)
        for start, end in pairwise([0, *sorted(ends), len(line)]):
            yield start, line[start:end]


def match_ends(pattern: re.Pattern[str], line: str, end: int) -> Iterator[int]:
    """Where what looks like a pattern ends, before a place on the line."""
    return (found.end() for found in pattern.finditer(line, 0, end))
