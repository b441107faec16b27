"""Files are written aside, then renamed: nobody ever meets half a file."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path

from cldfc.diagnostics import UsageError


def write_file(path: Path, content: str | bytes) -> None:
    """Write a file as a whole or not at all; a link is followed. Raises UsageError."""
    data = content.encode() if isinstance(content, str) else content
    try:
        if path.exists() and not path.is_file():
            path.write_bytes(data)
        else:
            replace_file(path.resolve(), data)
    except OSError as error:
        is_full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        help = "make room" if is_full else "name a file in a folder that exists and may be written"
        raise UsageError(f"`{path}` cannot be written: {error.strerror}", help) from None


def replace_file(path: Path, data: bytes) -> None:
    """Write beside the place, onto the disk, and rename."""
    handle, aside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(aside, 0o644)
        os.replace(aside, path)
    except BaseException:
        os.unlink(aside)
        raise
