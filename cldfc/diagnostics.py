"""What is wrong, where, and what to write instead: data, and its two renderers."""

from __future__ import annotations

import difflib
import unicodedata
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar

from cldfc.output import UTF8, printable
from cldfc.record import record

if TYPE_CHECKING:
    from pydantic import ValidationError

_LONGEST_WORD = 40
"""Of longer words the start is compared with known ones."""

_LONGEST_TEXT = 500
"""Of a longer message, label or help the two ends are shown."""

_MOST_ERRORS = 100

Word = TypeVar("Word", bound=str)


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


@record
class Span:
    """A stretch of a source, `start` to `end` (exclusive), in characters."""

    source: Source
    start: int
    end: int

    def __repr__(self) -> str:
        return f"<{self}>"

    def to(self, other: Span) -> Span:
        return Span(self.source, self.start, other.end)

    def is_within(self, other: Span) -> bool:
        return self.source is other.source and other.start <= self.start and self.end <= other.end

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
        if any(len(place.text) > _LONGEST_TEXT for place in self.places):
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


def clipped(text: str, longest: int = _LONGEST_TEXT) -> str:
    """The text, or its two ends: what it quotes from a spec may be long."""
    return text if len(text) <= longest else f"{text[: longest // 2]}…{text[-longest // 2 :]}"


class CldfError(Exception):
    """A spec is wrong; carries every independent error that was found. Its text is what the command line prints."""

    exit_code: ClassVar[int] = 1

    def __init__(self, *diagnostics: Diagnostic) -> None:
        super().__init__(*diagnostics)
        self.diagnostics = diagnostics

    def __str__(self) -> str:

        return plain_text(render(self.diagnostics)).rstrip("\n")

    def _render_traceback_(self) -> list[str]:
        """What IPython shows of it: only the report, because the place is in the spec and not in Python."""
        return str(self).splitlines()


class _ChangeError(CldfError):
    """What the command line would change in a spec is wrong; perhaps the spec is, too."""

    exit_code: ClassVar[int] = 2


def error_of(diagnostics: Sequence[Diagnostic]) -> CldfError:
    is_change = any(diagnostic.places[0].span.source.is_command for diagnostic in diagnostics)
    return _ChangeError(*diagnostics) if is_change else CldfError(*diagnostics)


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
        if len(self.found) > _MOST_ERRORS:
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
    close = difflib.get_close_matches(word.lower()[:_LONGEST_WORD], by_spelling, n=1, cutoff=0.7)
    return by_spelling[close[0]] if close else None


def shape_text(shape: Iterable[object]) -> str:
    """`3 × 32 × 32`; a number has no size."""
    return " × ".join(map(str, shape)) or "a number"


def end_text(shape: Sequence[object]) -> str:
    """An input or output as a spec declares it: `3 × 32 × 32`, `3 numbers`, `1 number`."""
    if len(shape) > 1:
        return shape_text(shape)
    return f"{shape[0]} numbers" if shape and shape[0] != 1 else "1 number"


def choices(word: str, known: Iterable[str], which: str, more: str = "") -> str:
    """`did you mean `a`? WHICH are `a`, `b`, `c`MORE`: all words that can stand there, after the nearest, if one is."""
    known = list(known)
    listed = f"{which} {', '.join(f'`{name}`' for name in known)}{more}"
    close = nearest(word, known)
    # Of `table9` no table is nearer than another.
    others = [name for name in known if close and name != close and _likeness(word, name) == _likeness(word, close)]
    return f"did you mean `{close}`? {listed}" if close and not others else listed


def one_of(text: str, words: Sequence[Word], what: str, which: str) -> Word:
    """The word that a text is. Raises UsageError, which says that it is no WHAT, and which there are."""
    for word in words:
        if word == text:
            return word
    raise UsageError(f"`{text}` is not a valid {what}", choices(text, words, which))


def _likeness(word: str, other: str) -> float:
    return difflib.SequenceMatcher(None, word.lower()[:_LONGEST_WORD], other.lower()).ratio()


def did_you_mean(word: str, known: Iterable[str], otherwise: str) -> str:
    """`did you mean …?` with the nearest known word, or `otherwise`."""
    close = nearest(word, known)
    return f"did you mean `{close}`?" if close else otherwise


_Piece = tuple[str, str]
"""Text and the style that a terminal gives it."""

_WIDEST_LINE = 140
_ERROR, _REMARK, _PLACE, _HELP, _PLAIN, _BOLD = "bold red", "bold yellow", "blue", "green", "", "bold"


def render(diagnostics: Sequence[Diagnostic], is_last: bool = True, encoding: str = UTF8) -> Iterator[list[_Piece]]:
    """The lines of a report on errors or on remarks, each as pieces with a style, for a terminal of an encoding.

    The last report of a run says where there is more.
    """
    for line in _report_lines(diagnostics, is_last, encoding):
        yield [(printable(text, encoding), style) for text, style in line]


def _report_lines(diagnostics: Sequence[Diagnostic], is_last: bool, encoding: str) -> Iterator[list[_Piece]]:
    for diagnostic in diagnostics:
        style = _ERROR if diagnostic.severity == "error" else _REMARK
        yield [(f"{diagnostic.severity}[{diagnostic.code}]", style), (f": {diagnostic.message}", _BOLD)]
        yield from _render_places(diagnostic.places, encoding)
        yield [("  = ", _PLACE), ("help: ", _HELP), (diagnostic.help, _PLAIN)]
        yield []
    files = dict.fromkeys(d.places[0].span.source.name for d in diagnostics)
    what = diagnostics[0].severity
    count = f"1 {what}" if len(diagnostics) == 1 else f"{len(diagnostics)} {what}s"
    yield [(f"{count} in {', '.join(files)}", _ERROR if what == "error" else _REMARK)]
    code = diagnostics[0].code
    if is_last:
        yield [(f"for more about {code}: cldfc explain {code}", _PLAIN)]


def _render_places(places: Sequence[Label], encoding: str) -> Iterator[list[_Piece]]:
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
        yield [(f"{'':{margin}}{arrow} ", _PLACE), (str(start), _PLAIN)]
        yield [(f"{'':{margin}} |", _PLACE)]
        before = 0
        for place in here:
            line = place.span.line
            if before and line > before + 1:
                yield [(f"{'':{margin}} ⋮", _PLACE)]
            yield from _render_place(source, place, place is places[0], margin, line != before, encoding)
            before = line


def _render_place(
    source: Source, place: Label, is_primary: bool, margin: int, with_line: bool, encoding: str
) -> Iterator[list[_Piece]]:
    number, column = source.position(place.span.start)
    text = source.line(number).replace("\t", " ")
    cut = max(0, min(column - 1, len(text)) - _WIDEST_LINE // 2)
    shown = text[cut : cut + _WIDEST_LINE]
    on_first_line = place.span.text.split("\n", 1)[0].rstrip()
    marked = text[column - 1 : column - 1 + len(on_first_line)]
    if with_line:
        before, after = "…" * (cut > 0), "…" * (cut + _WIDEST_LINE < len(text))
        yield [(f"{number:{margin}} | ", _PLACE), (before + shown + after, _PLAIN)]
    indent = " " * _columns_of("…" * (cut > 0) + text[cut : column - 1], encoding)
    mark = "^" if is_primary else "-"
    under = mark * max(1, min(_columns_of(marked, encoding), _WIDEST_LINE // 2))
    yield [(f"{'':{margin}} | ", _PLACE), (f"{indent}{under} {place.text}".rstrip(), _ERROR if is_primary else _PLACE)]


def _columns_of(text: str, encoding: str) -> int:
    return sum(_character_cells(character) for character in printable(text, encoding))


def _character_cells(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def plain_text(lines: Iterable[list[_Piece]]) -> str:
    return "".join("".join(text for text, _ in line).rstrip() + "\n" for line in lines)


_REASONS = {
    "greater_than": "it must be more than {gt}",
    "greater_than_equal": "it must be at least {ge}",
    "less_than": "it must be less than {lt}",
    "less_than_equal": "it must be at most {le}",
    "finite_number": "it must be finite",
    "int_parsing_size": "it has too many digits",
    "literal_error": "it must be {expected}",
    "missing": "it is missing",
    "extra_forbidden": "there is no such field",
    "json_invalid": "it is not JSON",
    "too_long": "it must have at most {max_length} entries",
    "too_short": "it must have at least {min_length} entries",
}
_KINDS = {
    "int": "it must be a whole number",
    "float": "it must be a number",
    "bool": "it must be true or false",
    "string": "it must be text",
    "tuple": "it must be a list",
    "list": "it must be a list",
    "dict": "it must be a table of names and values",
    "model": "it must be a table of names and values",
}
"""By how the types of errors begin."""


def first_error(error: ValidationError) -> tuple[str, object, str]:
    """Of the first value that is wrong: its name, what it is, and why that cannot be."""
    found: Any = error.errors(include_url=False)[0]
    reason = _REASONS.get(found["type"]) or _KINDS.get(found["type"].partition("_")[0])
    said = reason.format(**found.get("ctx", {})) if reason else found["msg"].removeprefix("Value error, ").rstrip(".")
    return ".".join(map(str, found["loc"])), found["input"], said
