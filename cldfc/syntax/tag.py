"""The text of a tag → its indices: `@ℓ,i-1`, `^{\\ell,\\nu_{\\ell}}`, `_\\ell^{\\ell+1}`."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from cldfc.diagnostics import Problems, Span
from cldfc.syntax import advice, tree
from cldfc.syntax.spelling import BRACED, FONTS, NAME, NOISE, canonical_name

LONGEST_NUMBER = 20
MOST_BRACKETS = 4
HELP_FOR_NO_INDEX = {
    re.compile(r"\\(?:top|intercal|dagger)\b"): advice.HELP_FOR_ADJOINTS,
    re.compile(r"\*|\\(?:ast|star)\b"): advice.HELP_FOR_STARS,
    re.compile(r"\\prime\b|'"): "a name has no prime: write another name",
    re.compile(r"[0-9] */ *[0-9]|\\[dt]?frac"): advice.HELP_FOR_FRACTIONS,
    re.compile(":"): advice.HELP_FOR_PARTS,
    re.compile(r"^[0-9]+ *\\?[A-Za-zℓ]"): advice.HELP_FOR_GRIDS,
    re.compile(r"^ *\\?[A-Za-z]+ *[+-].*[A-Za-z]"): advice.HELP_FOR_ARITHMETIC,
    re.compile(r"/|[0-9 ]\\?[A-Za-z]|[\^_]"): advice.HELP_FOR_PARAMETERS,
}
NOTHING = re.compile(NOISE)
WRAPPED = re.compile(rf"(?:\\{FONTS})? *(?:\{{(.*)\}}|\((.*)\)|\[(.*)\])")
"""A tag, or an index, in brackets of its own: `x^{{(k)}}`."""
PART = re.compile(rf"[@^_] *(?:({BRACED})|(\\[A-Za-z]+|[^{{}}^_]+))")
INDEX = re.compile(
    rf"(?:(?P<name>{NAME}) *(?:@ *(?P<plain>{NAME}|[0-9]+)|[@_^] *(?:(?P<braced>{BRACED})|(?P<command>\\[A-Za-z]+)))?"
    r"|(?P<number>-? *[0-9]+)) *(?:(?P<sign>[+-]) *(?P<shift>[0-9]+) *)?"
)


def whole_number(text: str, place: Span, problems: Problems) -> int:
    """An integer; Python itself refuses to read very long ones."""
    if len(text) <= LONGEST_NUMBER:
        return int(text)
    help = f"write a number of at most {LONGEST_NUMBER} digits"
    problems.report("E0104", f"this number has {len(text):,} digits", place, "too large", help)
    return 1


def unwrapped(text: str) -> str:
    """A tag without the brackets around the whole of it, each sign at its place; LaTeX that says nothing is blank."""
    text = NOTHING.sub(lambda found: " " * len(found[0]), text).replace("\t", " ")
    for _ in range(MOST_BRACKETS):
        found = WRAPPED.fullmatch(text.strip())
        if found is None:
            break
        inner = next(group for group in found.groups() if group is not None)
        if any(bracket in inner for bracket in "(){}[]") and not is_balanced(inner):
            break
        start = text.index(inner, text.index(text.strip()) + 1) if inner else len(text)
        text = " " * start + inner + " " * (len(text) - start - len(inner))
    return text


def is_balanced(text: str) -> bool:
    depth = 0
    for character in text:
        depth += (character in "([{") - (character in ")]}")
        if depth < 0:
            return False
    return True


@dataclass(frozen=True, slots=True)
class TagReader:
    """Reads one tag, which stands at `place`."""

    problems: Problems
    place: Span

    def tag(self, text: str) -> tuple[tree.Index, ...]:
        """All indices of a tag; of LaTeX's two, the lower ones come first."""
        if text.startswith("@"):
            return self.indices(text, 1)
        parts = [(match.start(), match.group()) for match in PART.finditer(text)]
        parts.sort(key=lambda part: not part[1].startswith("_"))
        return tuple(index for start, part in parts for index in self.indices(part, 1, start))

    def indices(self, text: str, skip: int, start: int = 0) -> tuple[tree.Index, ...]:
        at, inner = skip, text[skip:]
        stripped = inner.lstrip()
        at += len(inner) - len(stripped)
        if stripped.startswith("{"):
            at, stripped = at + 1, stripped.rstrip()[1:-1]
        stripped = unwrapped(stripped)
        found: list[tree.Index] = []
        for part in stripped.split(","):
            written = part.strip() or part
            found.append(self.index(written, self.within(start + at + part.index(written), len(written))))
            at += len(part) + 1
        return tuple(found)

    def within(self, start: int, length: int) -> Span:
        return Span(self.place.source, self.place.start + start, self.place.start + start + length)

    def index(self, text: str, place: Span) -> tree.Index:
        plain = unwrapped(text).strip()
        match = INDEX.fullmatch(plain)
        if match is None:
            message = f"`{text.strip()}` is not an index" if text.strip() else "an index is missing"
            help = next(
                (help for sign, help in HELP_FOR_NO_INDEX.items() if sign.search(text)), advice.HELP_FOR_INDICES
            )
            self.problems.report("E0106", message, place, "expected a name, a number, or a name ± a number", help)
            return tree.Index(None, None, 0, place)
        offset = whole_number(match["shift"] or "0", place, self.problems) * (-1 if match["sign"] == "-" else 1)
        if match["number"] is not None:
            number = match["number"].replace(" ", "")
            return tree.Index(None, None, whole_number(number, place, self.problems) + offset, place)
        name = canonical_name(match["name"])
        if match["plain"] is not None:
            own = self.index(match["plain"], place)
            return tree.Index(name, replace(own, offset=own.offset + offset), 0, place)
        inner = match["command"] or (match["braced"] or "")[1:-1]
        return tree.Index(name, self.index(inner, place) if inner else None, offset, place)
