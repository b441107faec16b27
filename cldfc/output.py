"""All that cldfc prints goes through here: nothing that a name contains acts on the terminal, and letters that
it lacks are spelled in ASCII."""

from __future__ import annotations

import codecs
import io
import json
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, TextIO, TypeVar, cast

if TYPE_CHECKING:
    from jinja2 import Environment

# The Greek letters that LaTeX has a command for: exactly those that no Latin letter looks like.
GREEK: dict[str, str] = dict(
    zip(
        "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi pi rho sigma tau "
        "upsilon phi chi psi omega Gamma Delta Theta Lambda Xi Pi Sigma Phi Psi Omega".split(),
        "αβγδεζηθικλμνξπρστυφχψωΓΔΘΛΞΠΣΦΨΩ",
        strict=True,
    )
)
SCRIPT: dict[str, str] = dict(zip("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "𝒜ℬ𝒞𝒟ℰℱ𝒢ℋℐ𝒥𝒦ℒℳ𝒩𝒪𝒫𝒬ℛ𝒮𝒯𝒰𝒱𝒲𝒳𝒴𝒵", strict=True))
ASCII = {
    **{letter: spelled for spelled, letter in GREEK.items()},
    **{script: f"cal_{letter}" for letter, script in SCRIPT.items()},
    "ℓ": "l",
}
"""The letters of names."""

SIGNS = {
    "∘": ".", "⊙": ".*", "ᵀ": "'", "×": "x", "→": "->", "≥": ">=", "≤": "<=",
    "←": "<-", "↓": "v", "↑": "^", "↔": "<->", "≠": "!=", "±": "+-", "−": "-", "–": "-", "—": "-", "…": "...",
    "⋯": "...", "•": "*",
    "·": "*", "⋮": ":", "⊕": "(+)", "⊗": "(x)", "√": "sqrt", "∞": "inf", "∥": "||", "■": "#",
    "⌈": "ceil(", "⌉": ")", "⌊": "floor(", "⌋": ")", "²": "^2", "³": "^3", "₁": "_1", "₂": "_2", "§": "section ",
    "─": "-", "━": "-", "│": "|", "┃": "|", "╭": "+", "╮": "+", "╰": "+", "╯": "+", "┌": "+", "┐": "+", "└": "+",
    "┘": "+", "├": "+", "┤": "+", "┬": "+", "┴": "+", "┼": "+", "╴": "-", "╶": "-", "╸": "-", "╺": "-",
    "Ö": "O", "‘": "'", "’": "'", "“": '"', "”": '"', "\ufffd": "?",
}  # fmt: skip
"""The signs of the language, and those of tables, pictures and sentences."""


UTF8 = "utf-8"
_NAMED = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}
_LOST_BYTES = range(0xDC80, 0xDD00)
"""What Python makes of the bytes of a file name that is not UTF-8."""
_HANDLER = "cldfc.ascii"


def printable(text: str, encoding: str = UTF8) -> str:
    """The text on one line: invisible characters are escaped, letters that the encoding lacks are spelled in ASCII."""
    if text.isprintable() and (encoding == UTF8 or text.isascii()):
        return text
    return "".join(_shown_as(character, encoding) for character in text)


@lru_cache(maxsize=4096)
def _shown_as(character: str, encoding: str) -> str:
    if not character.isprintable():
        return _escaped(character)
    try:
        character.encode(encoding)
    except UnicodeEncodeError:
        return ASCII.get(character) or SIGNS.get(character) or _escaped(character)
    return character


def _escaped(character: str) -> str:
    r"""`\x1b`, `\n`, `\u202e`; `\xff` for a byte that is not UTF-8."""
    code = ord(character)
    if character in _NAMED:
        return _NAMED[character]
    if code < 0x80 or code in _LOST_BYTES:
        return f"\\x{code & 0xFF:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def fill_page(package: str, name: str, **values: object) -> str:
    """An HTML page: a Jinja template in a package, with values.

    A value is escaped and stands on one line, unless the template takes it as HTML (`safe`) or as `lines`;
    `"x.css" | file` is a file beside the template, as it is.
    """
    return _templates(package).get_template(name).render(values)


@cache
def _templates(package: str) -> Environment:
    """The Jinja templates in a package."""
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    def lines(text: str) -> Markup:
        return Markup("\n").join(map(printable, text.split("\n")))

    def on_one_line(value: object) -> object:
        return value if isinstance(value, Markup) else printable(str(value))

    def file(name: str) -> Markup:
        return Markup(loader.get_source(pages, name)[0])

    loader = PackageLoader(package, "")
    pages = Environment(
        autoescape=True,
        finalize=on_one_line,
        keep_trailing_newline=True,
        loader=loader,
        lstrip_blocks=True,
        trim_blocks=True,
        undefined=StrictUndefined,
    )
    # Its values have no type in jinja2.
    filters: dict[str, object] = cast(Any, pages).filters
    filters.update(lines=lines, file=file)
    return pages


def say(*lines: str) -> None:
    """Print lines that are not results to standard error, at once, and after the results so far."""
    with suppress(OSError, ValueError):
        sys.stdout.flush()
    write_lines(lines, sys.stderr)


def show(*lines: str) -> None:
    write_lines(lines, sys.stdout, is_flushed=False)


def write_lines(lines: Iterable[str], stream: TextIO, is_flushed: bool = True) -> None:
    """Print lines to a stream; a line break within one is escaped. Raises OSError."""
    encoding = encoding_of(stream)
    stream.write("".join(f"{printable(line, encoding)}\n" for line in lines))
    if is_flushed:
        stream.flush()


def show_document(text: str) -> None:
    """Print a text of many lines to standard output: code, a spec, Markdown.

    A pipe gets it as it is; in another encoding than UTF-8, in ASCII, which every program reads alike.
    """
    encoding = encoding_of(sys.stdout)
    if _is_utf8(encoding) and not sys.stdout.isatty() and is_unicode(text):
        sys.stdout.write(text)
        return
    encoding = encoding if _is_utf8(encoding) or sys.stdout.isatty() else "ascii"
    lines = text.split("\n")
    sys.stdout.write("\n".join("\t".join(printable(part, encoding) for part in line.split("\t")) for line in lines))


def ignore(line: str) -> None:
    """Print nothing: takes the place of `say` where nothing should be printed."""


def printed(cells: Iterable[str]) -> list[str]:
    """The cells of a table on standard output, whose widths are then known."""
    return [printable(cell, encoding_of(sys.stdout)) for cell in cells]


def aligned(rows: Sequence[Sequence[str]], is_right: Sequence[bool]) -> list[str]:
    """Lines of columns as wide as their widest cell; `is_right` says which stand to the right. No blanks end a line."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths, is_right, strict=True)
        ).rstrip()
        for row in rows
    ]


_Row = TypeVar("_Row")
MOST_ROWS, _ENDS = 100, 40
"""The most rows of a table that are all shown; of more, so many are at its start, and at its end."""


def without_middle(rows: Sequence[_Row], most: int | None = MOST_ROWS) -> tuple[Sequence[_Row], int, Sequence[_Row]]:
    """The first rows, how many are left out after them, and the last ones; up to `most` are all first ones."""
    if most is None or len(rows) <= most:
        return rows, 0, ()
    return rows[:_ENDS], len(rows) - 2 * _ENDS, rows[-_ENDS:]


def show_json(data: object, indent: int | None = 2) -> None:
    show_json_text(as_json(data, indent) + "\n")


def show_json_text(text: str) -> None:
    sys.stdout.write(_json_for(sys.stdout, text))


def _json_for(stream: TextIO, text: str) -> str:
    """JSON with all that is not visible, or not in the stream's encoding, in JSON's own escapes."""
    is_all = _is_utf8(encoding_of(stream))
    return "".join(
        c if c == "\n" or (c.isprintable() and (is_all or c.isascii())) else json.dumps(c)[1:-1] for c in text
    )


def as_json(data: object, indent: int | None = None) -> str:
    """Data as JSON, which has no NaN and no infinity: they become null."""
    return json.dumps(_finite(data), ensure_ascii=False, allow_nan=False, indent=indent)


def _finite(data: object) -> object:
    if isinstance(data, Mapping):
        return {key: _finite(value) for key, value in cast("Mapping[Any, object]", data).items()}
    if isinstance(data, list | tuple):
        return [_finite(value) for value in cast("list[object]", data)]
    return None if isinstance(data, float) and not math.isfinite(data) else data


def encoding_of(stream: TextIO) -> str:
    """How a stream writes letters as bytes; a stream without bytes takes them all."""
    return getattr(stream, "encoding", None) or UTF8


def _is_utf8(encoding: str) -> bool:
    return codecs.lookup(encoding).name == UTF8


def is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def spell_what_is_lacking() -> None:
    """Let the standard streams spell letters that their encoding lacks, whoever prints them."""
    codecs.register_error(_HANDLER, _spell_in_ascii)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_HANDLER)


def _spell_in_ascii(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(printable(c, "ascii") for c in error.object[error.start : error.end]), error.end


_PREFIXES = ("", "k", "M", "G", "T", "P")


def short_count(count: int) -> str:
    """`8.04 M`, `555 M`, `640`."""
    value, prefix = _scaled(count)
    return f"{value} {prefix}".rstrip()


def short_bytes(count: int) -> str:
    """`4.76 MB`, of a million bytes each; `640 B`."""
    value, prefix = _scaled(count)
    return f"{value} {prefix}B"


def _scaled(count: int) -> tuple[str, str]:
    """A number in three digits, and the prefix of the power of 1,000 that it is multiplied with."""
    if count < 1000:
        return str(count), ""
    mantissa, exponent = f"{count:.2e}".split("e")
    power = min(int(exponent) // 3, len(_PREFIXES) - 1)
    before = int(exponent) - 3 * power
    return f"{float(mantissa) * 10**before:.{max(0, 2 - before)}f}", _PREFIXES[power]
