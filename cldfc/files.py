"""Files are written aside, then renamed: nobody ever meets half a file."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from cldfc.diagnostics import UsageError


def write_file(path: Path, content: str | bytes) -> None:
    """Write a file as a whole or not at all; a link is followed. Raises UsageError."""
    data = content.encode() if isinstance(content, str) else content
    with writing(path):
        if path.exists() and not path.is_file():
            path.write_bytes(data)
        else:
            with written_aside(path, data):
                pass


@contextmanager
def written_aside(path: Path, data: bytes) -> Generator[Path]:
    """The data in a file beside its place, on the disk: it gets its name when the block ends, or is gone if that fails.

    A link is followed. Raises UsageError.
    """
    with writing(path), aside_of(path.resolve()) as (handle, aside):
        with synced(handle) as file:
            file.write(data)
        yield aside


@contextmanager
def aside_of(path: Path) -> Generator[tuple[int, Path]]:
    """A new file beside a place, open for writing: it gets the name when the block ends, or is gone if that fails.

    Raises OSError.
    """
    handle, aside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    try:
        yield handle, Path(aside)
        os.chmod(aside, 0o644)
        os.replace(aside, path)
    except BaseException:
        os.unlink(aside)
        raise


@contextmanager
def synced(handle: int) -> Generator[BinaryIO]:
    """An open file, which lies on the disk and is closed when the block ends. Raises OSError."""
    with os.fdopen(handle, "wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def writing(path: Path) -> Generator[None]:
    """Raises UsageError for what keeps a file from being written."""
    try:
        yield
    except OSError as error:
        is_full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        help = "make room" if is_full else "name a file in a folder that exists and may be written"
        raise UsageError(f"`{path}` cannot be written: {error.strerror}", help) from None
