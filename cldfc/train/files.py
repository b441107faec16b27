"""Reads the files of a run."""

from __future__ import annotations

from pathlib import Path

from cldfc.diagnostics import UsageError

HELP = "give the folder of a run, as `cldfc train` leaves it behind"


def read_file(path: Path, help: str = HELP) -> bytes:
    """The content of a file; raises UsageError, with a help, when it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read `{path}`: {error.strerror}", help) from error


def read_text(path: Path, help: str = HELP) -> str:
    """The text of a file; raises UsageError, with a help, when it cannot be read or is not UTF-8."""
    try:
        return read_file(path, help).decode()
    except UnicodeDecodeError as error:
        raise UsageError(f"cannot read `{path}`: it is not UTF-8 text", help) from error
