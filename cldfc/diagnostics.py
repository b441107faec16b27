"""What is wrong with a spec, where, and what to write instead: data, and two renderers."""

from __future__ import annotations

import difflib
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import ClassVar, Literal

from cldfc.output import printable

LONGEST_WORD = 40
"""Of longer words the start is compared with known ones."""

LONGEST_TEXT = 500
"""Of a longer message, label or help the two ends are shown."""

MOST_ERRORS = 100


@dataclass(frozen=True)
class Source:
    """A spec's text and the name that errors print for it."""

    name: str
    text: str
    is_command: bool = False
    """Whether it stands on the command line and changes a spec: `--let`, `--tie`."""

    @cached_property
    def line_starts(self) -> list[int]:
        return [0, *(at + 1 for at, character in enumerate(self.text) if character == "\n")]

    def position(self, offset: int) -> tuple[int, int]:
        """Line and column of an offset, both from 1."""
        line = bisect_right(self.line_starts, offset)
        return line, offset - self.line_starts[line - 1] + 1

    def line(self, number: int) -> str:
        """The text of a line, without its end."""
        starts = self.line_starts
        end = starts[number] - 1 if number < len(starts) else len(self.text)
        return self.text[starts[number - 1] : end].rstrip("\r")


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of a source, `start` to `end` (exclusive), in characters."""

    source: Source
    start: int
    end: int

    def to(self, other: Span) -> Span:
        return Span(self.source, self.start, other.end)

    @property
    def text(self) -> str:
        return self.source.text[self.start : self.end]

    @property
    def line(self) -> int:
        """The line it starts on, from 1."""
        return self.source.position(self.start)[0]

    def __str__(self) -> str:
        line, column = self.source.position(self.start)
        return f"{self.source.name}:{line}:{column}"


@dataclass(frozen=True, slots=True)
class Label:
    span: Span
    text: str = ""


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """An error, or a remark on what is allowed: a stable code, what is wrong, where, and what to write instead.

    `places[0]` is the primary place, the others are what it conflicts with. Codes of remarks begin with R.
    """

    code: str
    message: str
    places: tuple[Label, ...]
    help: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "message", clipped(self.message))
        object.__setattr__(self, "help", clipped(self.help))
        if any(len(place.text) > LONGEST_TEXT for place in self.places):
            places = tuple(Label(place.span, clipped(place.text)) for place in self.places)
            object.__setattr__(self, "places", places)

    @property
    def severity(self) -> Literal["error", "remark"]:
        """An error stops the compiler, a remark does not."""
        return "remark" if self.code.startswith("R") else "error"

    def as_data(self) -> dict[str, object]:
        return {
            "severity": self.severity,
            "code": self.code,
            "message": self.message,
            "help": self.help,
            "places": [
                {
                    "file": place.span.source.name,
                    "line": line,
                    "column": column,
                    "length": place.span.end - place.span.start,
                    "label": place.text,
                }
                for place in self.places
                for line, column in [place.span.source.position(place.span.start)]
            ],
        }


def clipped(text: str, longest: int = LONGEST_TEXT) -> str:
    """The text, or its two ends: what it quotes from a spec may be long."""
    return text if len(text) <= longest else f"{text[: longest // 2]}…{text[-longest // 2 :]}"


class CldfError(Exception):
    """A spec is wrong; carries every independent error that was found. Its text is what the command line prints."""

    exit_code: ClassVar[int] = 1

    def __init__(self, *diagnostics: Diagnostic) -> None:
        super().__init__(*diagnostics)
        self.diagnostics = diagnostics

    def __str__(self) -> str:
        from cldfc.render import plain_text, render

        return plain_text(render(self.diagnostics)).rstrip("\n")

    def _render_traceback_(self) -> list[str]:
        """What IPython shows of it: the report alone, for the place is in the spec and not in Python."""
        return str(self).splitlines()


class ChangeError(CldfError):
    """What the command line would change in a spec is wrong; perhaps the spec is, too."""

    exit_code: ClassVar[int] = 2


def error_of(diagnostics: Sequence[Diagnostic]) -> CldfError:
    is_change = any(diagnostic.places[0].span.source.is_command for diagnostic in diagnostics)
    return ChangeError(*diagnostics) if is_change else CldfError(*diagnostics)


class UsageError(Exception):
    """The command line, a file or a folder is wrong, not a spec."""

    exit_code: ClassVar[int] = 2

    def __init__(self, message: str, help: str, details: Sequence[str] = ()) -> None:
        super().__init__(message, help, details)
        self.message = message
        self.help = help
        self.details = details

    @property
    def lines(self) -> Sequence[str]:
        return [f"error: {self.message}", *(f"  {detail}" for detail in self.details), f"  = help: {self.help}"]

    def __str__(self) -> str:
        return "\n".join(map(printable, self.lines))

    def _render_traceback_(self) -> list[str]:
        return str(self).splitlines()


@dataclass
class Problems:
    """Errors as they are found; a place is reported once.

    `broken` holds the names that a wrong statement would have defined: that they are missing
    follows from an error that is already known. `lost` says that a wrong statement may have defined
    any name, for its own could not be read.
    """

    found: list[Diagnostic] = field(default_factory=list[Diagnostic])
    broken: set[str] = field(default_factory=set[str])
    lost: bool = False
    places: set[tuple[str, Span]] = field(default_factory=set[tuple[str, Span]])
    untold: int = 0

    def report(self, code: str, message: str, span: Span, label: str, help: str, *others: Label) -> None:
        """Note an error, unless the same code already stands at the same place."""
        if (code, span) in self.places:
            return
        if len(self.found) > MOST_ERRORS:
            self.untold += 1
            return
        self.places.add((code, span))
        self.found.append(Diagnostic(code, message, (Label(span, label), *others), help))

    def copy(self) -> Problems:
        return replace(self, found=[*self.found], broken={*self.broken}, places={*self.places})

    def explain(self, name: str) -> bool:
        """Whether an error that is already known explains that a name is missing."""
        return self.lost or name in self.broken

    def stop_if_any(self) -> None:
        """Raise what has been found, in the order of the text."""
        if not self.found:
            return
        errors = sorted(self.found, key=lambda d: (d.places[0].span.source.name, d.places[0].span.start))
        if self.untold:
            message = f"{self.untold + 1:,} more errors are not listed"
            help = "correct the errors above, or check that this is a spec"
            place = Label(errors[-1].places[0].span, "one of them")
            errors[-1] = Diagnostic("E0109", message, (place,), help)
        raise error_of(errors)


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that is most like a word, if any is; capitals make no difference."""
    by_spelling = {name.lower(): name for name in known}
    close = difflib.get_close_matches(word.lower()[:LONGEST_WORD], by_spelling, n=1, cutoff=0.7)
    return by_spelling[close[0]] if close else None


def shape_text(shape: Iterable[object]) -> str:
    """`3 × 32 × 32`."""
    return " × ".join(map(str, shape))


def choices(word: str, known: Iterable[str], which: str, more: str = "") -> str:
    """`did you mean `a`? WHICH are `a`, `b`, `c`MORE`: all words that can stand there, after the nearest, if one is."""
    known = list(known)
    listed = f"{which} {', '.join(f'`{name}`' for name in known)}{more}"
    close = nearest(word, known)
    # Of `table9` no table is nearer than another.
    others = [name for name in known if close and name != close and likeness(word, name) == likeness(word, close)]
    return f"did you mean `{close}`? {listed}" if close and not others else listed


def likeness(word: str, other: str) -> float:
    return difflib.SequenceMatcher(None, word.lower()[:LONGEST_WORD], other.lower()).ratio()


def did_you_mean(word: str, known: Iterable[str], otherwise: str) -> str:
    """`did you mean …?` with the nearest known word, or `otherwise`."""
    close = nearest(word, known)
    return f"did you mean `{close}`?" if close else otherwise
