"""Reads and writes whole files; a reader sees the old one or the new one, never half of it."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import mkstemp

from cldfc.diagnostics import UsageError

HELP = "give the folder of a run that has finished at least one epoch"


def write_file(path: Path, content: bytes | str) -> None:
    """Write a file aside in its folder, then put it in place (mode 0644, text as UTF-8).

    Raises UsageError when it cannot be written.
    """
    data = content.encode() if isinstance(content, str) else content
    try:
        write_aside(path, data)
    except OSError as error:
        raise UsageError(
            f"cannot write `{path}`: {error.strerror}",
            "check that the folder exists, may be written to, and that the disk is not full",
        ) from error


def write_aside(path: Path, data: bytes) -> None:
    """Write to a temporary file beside the path, wait for the disk, and rename it."""
    handle, aside = mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fchmod(file.fileno(), 0o644)
            os.fsync(file.fileno())
        os.replace(aside, path)
    except BaseException:
        os.unlink(aside)
        raise


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
