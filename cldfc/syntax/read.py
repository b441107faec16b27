"""File → source: what can be wrong with a file before its first word is read."""

from __future__ import annotations

from pathlib import Path
from stat import S_ISDIR, S_ISREG

from cldfc.diagnostics import CldfError, Diagnostic, Label, Source, Span, UsageError

LARGEST_FILE = 10_000_000


def read_source(path: Path) -> Source:
    """The text of a spec: UTF-8, with or without byte order mark, LF or CRLF.

    Raises UsageError when the file cannot be read, CldfError when it is no text. Pipes and devices, which may never
    end, are not opened.
    """
    try:
        mode = path.stat().st_mode
        if not S_ISREG(mode) and not S_ISDIR(mode):
            raise UsageError(f"`{path}` is no regular file", "name a .cldf file")
        with path.open("rb") as file:
            data = file.read(LARGEST_FILE + 1)
    except FileNotFoundError:
        raise UsageError(f"there is no file `{path}`", help_for_missing(path)) from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UsageError(f"`{path}` cannot be read: {reason}", "name a .cldf file") from None
    return decode(str(path), data)


def decode(name: str, data: bytes) -> Source:
    """The text of what was read. Raises CldfError when it is none."""
    if len(data) > LARGEST_FILE:
        raise refuse(name, "", "E0108", f"the file is larger than {LARGEST_FILE:,} bytes", "split the network")
    text = data.decode("utf-8-sig", errors="replace")
    try:
        data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8-sig", errors="replace")
        help = "save the file as UTF-8"
        raise refuse(name, text, "E0107", f"byte 0x{data[error.start]:02x} is not UTF-8", help, len(before)) from None
    return Source(name, text)


def help_for_missing(path: Path) -> str:
    """The specs that do lie in the folder."""
    folder = path.parent
    others = sorted(str(other) for other in folder.glob("*.cldf")) if folder.is_dir() else []
    return f"in that folder: {', '.join(others[:6])}" if others else "check the path"


def refuse(name: str, text: str, code: str, message: str, help: str, at: int = 0) -> CldfError:
    """The error for a file that cannot be a spec."""
    span = Span(Source(name, text), at, min(at + 1, len(text)))
    return CldfError(Diagnostic(code, message, (Label(span, "here"),), help))
