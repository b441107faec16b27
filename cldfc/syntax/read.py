"""File → source: what can be wrong with a file before its first word is read."""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path
from stat import S_ISDIR, S_ISREG

from cldfc.diagnostics import CldfError, Diagnostic, Label, Source, Span, UsageError
from cldfc.library import find_spec, like, specs_beside

LARGEST_FILE = 10_000_000


STANDARD_INPUT = Path("-")

BUNDLED = "`cldfc specs` lists those that come with cldfc"


def read_source(path: Path) -> Source:
    """The text of a spec, found by path or name: UTF-8, with or without byte order mark, LF or CRLF.

    `-` is standard input. Raises UsageError when the file cannot be read, CldfError when it is not text.
    """
    return decode("<stdin>", standard_input()) if path == STANDARD_INPUT else read_spec_file(path)


def read_spec_file(path: Path) -> Source:
    """The same, where `-` is a file like any other. Pipes and devices, which may never end, are not opened."""
    path = find_spec(path)
    try:
        mode = path.stat().st_mode
        if not S_ISREG(mode) and not S_ISDIR(mode):
            raise UsageError(f"`{path}` is no regular file", "name a .cldf file")
        with path.open("rb") as file:
            data = file.read(LARGEST_FILE + 1)
    except FileNotFoundError:
        raise missing_spec(path) from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UsageError(f"cannot read `{path}`: {reason}", "name a .cldf file") from None
    return decode(str(path), data)


def decode(name: str, data: bytes) -> Source:
    """The text of the bytes of a file. Raises CldfError when they are not text."""
    if len(data) > LARGEST_FILE:
        raise not_a_spec(name, "", "E0108", f"the file is larger than {LARGEST_FILE:,} bytes", "split the network")
    text = data.decode("utf-8-sig", errors="replace")
    try:
        data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8-sig", errors="replace")
        message, help = f"byte 0x{data[error.start]:02x} is not UTF-8", "save the file as UTF-8"
        raise not_a_spec(name, text, "E0107", message, help, len(before)) from None
    return Source(name, text)


@cache
def standard_input() -> bytes:
    """What is piped into the command; it can be read once."""
    return sys.stdin.buffer.read(LARGEST_FILE + 1)


def missing_spec(path: Path) -> UsageError:
    meant, others = like(path), [str(other) for other in specs_beside(path)]
    if meant:
        help = f"did you mean `{meant}`?"
    elif others:
        help = f"in that folder: {', '.join(others[:6])}{', …' * (len(others) > 6)}; {BUNDLED}"
    else:
        help = f"check the path; {BUNDLED}"
    return UsageError(f"there is no file `{path}`", help)


def not_a_spec(name: str, text: str, code: str, message: str, help: str, at: int = 0) -> CldfError:
    span = Span(Source(name, text), at, min(at + 1, len(text)))
    return CldfError(Diagnostic(code, message, (Label(span, "here"),), help))
