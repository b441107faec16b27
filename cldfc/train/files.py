"""Reads the files of a run."""

from __future__ import annotations

from pathlib import Path

from cldfc.diagnostics import UsageError

HELP = "give the folder of a run that has finished at least one epoch"


def read_file(path: Path) -> bytes:
    """The content of a file; raises UsageError when it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read `{path}`: {error.strerror}", HELP) from error


def read_text(path: Path) -> str:
    """The text of a file; raises UsageError when it cannot be read or is not UTF-8."""
    try:
        return read_file(path).decode()
    except UnicodeDecodeError as error:
        raise UsageError(f"cannot read `{path}`: it is not UTF-8 text", HELP) from error
