"""Reads untrusted files and archives: only regular files, and never more than a fixed number of bytes.

The message of a ValueError continues a sentence that starts with the file name: "is truncated …".
"""

from __future__ import annotations

import bz2
import gzip
import io
import os
import stat
import tarfile
import zlib
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import BinaryIO, cast

from cldfc.diagnostics import UsageError
from cldfc.files import refusing

MOST_BYTES = 2 * 2**30
"""Nothing larger is read into memory."""

_MOST_MEMBERS = 10_000
"""An archive with more members is refused."""

BLOCK = 2**20

GZIP, _BZIP2 = b"\x1f\x8b", b"BZh"

UNREADABLE = (OSError, EOFError, zlib.error, tarfile.TarError)

_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def kind_of(path: Path) -> str:
    """What a path is if not a regular file: `a FIFO`, `a broken link`. Empty for a regular or a missing file."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return "a broken link" if path.is_symlink() else ""
    return _KINDS.get(stat.S_IFMT(mode), "")


@contextmanager
def opened_regular(path: Path) -> Generator[BinaryIO]:
    """A regular file, open for reading. Raises UsageError if it is not one, or if opening or reading it fails."""
    if kind := kind_of(path):
        raise UsageError(f"`{path}` is {kind}, not a file", "give a file, or a folder with files")
    with refusing(f"cannot read `{path}`", "give files and folders that may be read"), path.open("rb") as file:
        yield file


def read_bytes(path: Path) -> bytes:
    """The bytes of a regular file. Raises UsageError if it is not one, cannot be read, or exceeds MOST_BYTES."""
    with opened_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > MOST_BYTES:
            raise UsageError(
                f"`{path}` has {size:,} bytes, of which at most {MOST_BYTES:,} are read", "give the file of a data set"
            )
        return file.read(MOST_BYTES)


def gunzip(data: bytes, most: int = MOST_BYTES) -> bytes:
    """Decompress gzip data. Raises ValueError if it is damaged, or if the result exceeds `most` bytes."""
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
            content = file.read(most + 1)
    except EOFError:
        raise ValueError("is truncated: its gzipped data do not end") from None
    except UNREADABLE as error:
        raise ValueError(f"cannot be unpacked: {error}") from error
    if len(content) > most:
        raise ValueError(f"holds more than {most:,} bytes")
    return content


def untar(data: bytes, names: Sequence[str]) -> list[bytes]:
    """The archive members with these file names, in any folder, in the order of the names.

    Raises ValueError if a member is missing or occurs twice, or if the archive is damaged or too large.
    """
    found: dict[str, bytes] = {}
    others: list[str] = []
    try:
        with tarfile.open(fileobj=Bounded(_unpacked(data)), mode="r|", bufsize=BLOCK) as archive:
            for member in archive:
                name = PurePosixPath(member.name).name
                if member.size > MOST_BYTES or len(others) + len(found) > _MOST_MEMBERS:
                    raise ValueError("is an archive that holds too much")
                if not member.isreg() or name not in names:
                    others.append(member.name)
                    continue
                if name in found:
                    raise ValueError(f"holds `{name}` twice")
                file = archive.extractfile(member)
                assert file is not None
                found[name] = file.read()
    except EOFError:
        raise ValueError("is truncated: its packed data do not end") from None
    except UNREADABLE as error:
        raise ValueError(f"cannot be unpacked: {error}") from error
    lacking = [name for name in names if name not in found]
    if lacking:
        more = " and more" if len(others) > 3 else ""
        holds = f" of {', '.join(f'`{name}`' for name in others[:3])}{more}," if others else ""
        raise ValueError(f"is an archive{holds} without `{lacking[0]}`")
    return [found[name] for name in names]


def _unpacked(data: bytes) -> BinaryIO:
    file = io.BytesIO(data)
    if data.startswith(GZIP):
        return cast("BinaryIO", gzip.GzipFile(fileobj=file))
    return cast("BinaryIO", bz2.BZ2File(file)) if data.startswith(_BZIP2) else file


class Bounded(io.RawIOBase):
    """A stream that raises ValueError once more than MOST_BYTES have been read from it."""

    def __init__(self, file: BinaryIO) -> None:
        self.file, self.left = file, MOST_BYTES

    def read(self, size: int = -1, /) -> bytes:
        data = self.file.read(size)
        self.left -= len(data)
        if self.left < 0:
            raise ValueError("is an archive that holds too much")
        return data
