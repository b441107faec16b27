"""Finds the files of data sets, checks that they are the published ones, and identifies other files."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple, TypeVar

from cldfc.data.bounded import GZIP, MOST_BYTES, gunzip, kind_of, read_bytes, untar
from cldfc.data.data_set import DataSet
from cldfc.data.entries import ENTRIES
from cldfc.data.published import ArchiveMember, DataFile
from cldfc.diagnostics import UsageError

_LONGEST_LINE = 60
_SHA256_DIGITS = 64

_LARGEST_PART = 2**26
"""No file that is published gzipped unpacks to more bytes."""

_IDX, _MATLAB, _BZIP2 = b"\0\0\x08", b"MATLAB 5.0", b"BZh"

_BEGINNINGS = {
    b"PK\x03\x04": "is a zip archive",
    b"7z\xbc\xaf\x27\x1c": "is a 7z archive",
    b"Rar!": "is a rar archive",
    b"\xfd7zXZ": "is an xz archive",
    _BZIP2: "is packed by bzip2",
    b"\x28\xb5\x2f\xfd": "is packed by zstd",
    b"\x89PNG": "is a PNG image",
    b"\xff\xd8\xff": "is a JPEG image",
    b"%PDF": "is a PDF document",
    b"\x89HDF": "is an HDF5 file",
    b"MATLAB 7.3": "is a file of MATLAB 7.3",
    _MATLAB: "is another file of MATLAB",
    b"\x93NUMPY": "is a file of numpy",
    b"PAR1": "is a Parquet file",
}
_EXPECTED_IN = {_MATLAB: ".mat", _BZIP2: ".tar"}
"""Beginnings that are right for published files with this in their name."""


class _FileIdentity(NamedTuple):
    """What a file is, in words that follow its name, and the data set that publishes it, if any."""

    words: str
    dataset: str = ""
    can_be_read: bool = False
    """Whether it may be the user's own file in the expected format."""


def _what_it_is(data: bytes, file: DataFile, part: ArchiveMember | None = None) -> _FileIdentity:
    """Identifies bytes found in place of a published file, or of a member of it."""
    if known := known_as(data):
        return _FileIdentity(f"is `{known[1]}` of the data set `{known[0]}`", known[0])
    for beginning, words in _BEGINNINGS.items():
        if data.startswith(beginning) and (beginning not in _EXPECTED_IN or _EXPECTED_IN[beginning] not in file.name):
            return _FileIdentity(words)
    return text_or_none(data) or _packed_or_damaged(data, file, part)


@cache
def checksums() -> dict[str, tuple[str, str]]:
    """The data set and file name for each checksum of a published file or a member of one."""
    found: dict[str, tuple[str, str]] = {}
    for dataset in ENTRIES:
        for file in (form for own in dataset.files for form in (own, *own.forms)):
            found[file.sha256] = dataset.name, file.name
            found |= {part.checksum: (dataset.name, part.name) for part in file.parts if part.checksum}
    return found


def known_as(data: bytes) -> tuple[str, str] | None:
    """The data set that publishes these bytes, gzipped or not, and the file name; None for other bytes."""
    if (found := _by_checksum(data)) or not data.startswith(GZIP):
        return found
    try:
        return _by_checksum(gunzip(data, _LARGEST_PART))
    except ValueError:
        return None


def _by_checksum(data: bytes) -> tuple[str, str] | None:
    sums = (kind(data, usedforsecurity=False).hexdigest() for kind in (hashlib.sha256, hashlib.md5))
    return next((found for one in sums if (found := checksums().get(one))), None)


def text_or_none(data: bytes) -> _FileIdentity | None:
    start = data[:512].lstrip().lower()
    if start.startswith((b"<!doctype html", b"<html", b"<head")):
        return _FileIdentity("is an HTML page, such as a server sends in place of a file")
    if start.startswith((b"<?xml", b"<error")):
        return _FileIdentity("is an XML document, such as a server sends in place of a file")
    if start.startswith(b"version https://git-lfs"):
        return _FileIdentity("is a Git LFS pointer, not the file itself")
    try:
        lines = data[:512].decode("ascii").splitlines()
    except UnicodeDecodeError:
        return None
    if not lines or not all(line.isprintable() for line in lines):
        return None
    return _FileIdentity(f"is a text that begins with `{lines[0][:_LONGEST_LINE]}`")


def _packed_or_damaged(data: bytes, file: DataFile, part: ArchiveMember | None) -> _FileIdentity:
    size = part.size if part else file.size
    if not data:
        return _cut_off(data, size)
    if part is None and file.parts:
        if packed := _within(data, file):
            return packed
    elif size and len(data) < size and data.startswith(_IDX if part else _MATLAB):
        return _cut_off(data, size)
    elif part and part.size and len(data) != part.size:
        return _FileIdentity(f"is another file: it has {len(data):,} bytes, not {part.size:,}", can_be_read=True)
    return _damaged(data, part.checksum if part else file.sha256)


def _within(data: bytes, file: DataFile) -> _FileIdentity | None:
    """Identifies a packed file by its contents; None if they do not tell."""
    try:
        if ".tar" in file.name:
            untar(data, [part.name for part in file.parts])
            return _FileIdentity("holds batches that are not the published ones", can_be_read=True)
        if not data.startswith(GZIP):
            return None
        content = gunzip(data)
    except ValueError as error:
        if str(error).startswith("cannot"):
            return None
        return _cut_off(data, file.size) if str(error).startswith("is truncated") else _FileIdentity(str(error))
    if content.startswith(_IDX):
        return _FileIdentity(
            f"holds an IDX file of {len(content):,} bytes that is not the published one", can_be_read=True
        )
    return _FileIdentity("is gzipped, but holds no IDX file")


def _cut_off(data: bytes, size: int | None) -> _FileIdentity:
    if size is None or len(data) >= size:
        return _FileIdentity("is truncated" if data else "is empty")
    return _FileIdentity(f"is truncated: it has {len(data):,} of {size:,} bytes")


def _damaged(data: bytes, checksum: str | None) -> _FileIdentity:
    if checksum is None:
        return _FileIdentity("is another file", can_be_read=True)
    kind = "SHA-256" if len(checksum) == _SHA256_DIGITS else "MD5"
    found = hashlib.new(kind.replace("-", ""), data, usedforsecurity=False).hexdigest()
    return _FileIdentity(
        f"is damaged or another file: its {len(data):,} bytes have the {kind} {found[:12]}…, not {checksum[:12]}…",
        can_be_read=True,
    )


def help_for(file: DataFile, identity: _FileIdentity | None = None) -> str:
    """The help for a file that is not the published one: how to get that, or how to use this one."""
    fetch = f"`--download` with another `--data-dir` fetches the published file from {file.url}"
    if identity and identity.dataset:
        return f"`--data {identity.dataset}` trains on it; {fetch}"
    if identity and identity.can_be_read:
        return f"if it is your own, `--trust-files` reads it as it is; {fetch}"
    return f"{fetch}; images of your own are read by `--data folder:PATH` and `--data idx:PATH`"


T = TypeVar("T")


class Copy(NamedTuple):
    """A file of a data set on disk: packed as published, or unpacked into its members."""

    file: DataFile
    paths: tuple[Path, ...]
    is_packed: bool

    def is_far(self, folder: Path) -> bool:
        """Whether it is outside the data folder."""
        return not self.paths[0].is_relative_to(folder)


class _Content(NamedTuple):
    """The contents of a file, member by member, with the path of each; `file` is the form that was found."""

    file: DataFile
    parts: list[bytes]
    paths: list[Path]


def copies(file: DataFile, folder: Path) -> list[Copy]:
    """All candidates for a file, in any of its forms, those in the data folder first; `folder` may be an archive."""
    found: list[Copy] = []
    for form in (file, *file.forms):
        packed = [folder] if folder.is_file() else [folder / place / form.name for place in form.folders]
        found += [Copy(form, (path,), True) for path in packed if path.is_file()]
        for place in form.unpacked:
            parts = tuple(folder / place / part.name for part in form.parts)
            if all(path.is_file() for path in parts):
                found.append(Copy(form, parts, False))
    return sorted(found, key=lambda copy: copy.is_far(folder))


def missing(dataset: DataSet, folder: Path) -> list[str]:
    files = [file.place for file in dataset.files if not copies(file, folder)]
    return files + [name for name in dataset.folders if not (folder / name).is_dir()]


def require(dataset: DataSet, folder: Path) -> None:
    """Raises UsageError unless every file and folder of a data set exists."""
    lacking = missing(dataset, folder)
    if not lacking:
        return
    if kind := kind_of(folder / lacking[0]):
        raise UsageError(f"`{folder / lacking[0]}` is {kind}, not the file of `{dataset.name}`", how_to_get(dataset))
    if not folder.is_dir():
        what = f"`{folder}` is not a folder" if folder.exists() else f"there is no folder `{folder}`"
        raise UsageError(f"{what} with the data set `{dataset.name}`", how_to_get(dataset))
    others = f" and {len(lacking) - 1} more" if len(lacking) > 1 else ""
    raise UsageError(f"`{folder}` lacks `{lacking[0]}`{others} of `{dataset.name}`", how_to_get(dataset))


def how_to_get(dataset: DataSet) -> str:
    """The help for a missing data set."""
    if dataset.folders:
        places = " and ".join(f"`DIR/{name}/CLASS/*.JPEG`" for name in dataset.folders)
        return f"name a folder with {places} by `--data-dir DIR`"
    first, *others = (file.url for file in dataset.files)
    address = f"{first.rpartition('/')[0]}/" if others else first
    package = f"; so does `apt install {dataset.package}` on Debian and Ubuntu" if dataset.package else ""
    return f"`--download` fetches it from {address}{package}; `--data-dir DIR` looks in another folder"


def read_published(file: DataFile, folder: Path) -> bytes:
    """The bytes of a file in its published form, for the readers of plugins (docs/data.md).

    Raises UsageError if it cannot be read, or is not the published file.
    """
    path = next((copy.paths[0] for copy in copies(file, folder) if copy.is_packed), folder / file.place)
    data = read_bytes(path)
    if not _has_checksum(data, file.sha256):
        raise _another(path, data, file)
    return data


def read_content(dataset: DataSet, file: DataFile, folder: Path) -> _Content:
    """The contents of a file of a data set, from its first copy that is published or trusted.

    Raises UsageError if there is none.
    """
    problems: list[UsageError] = []
    for copy in copies(file, folder):
        try:
            return read_copy(dataset, copy)
        except UsageError as error:
            problems.append(error)
    if problems:
        raise problems[0]
    raise UsageError(f"`{folder}` lacks `{file.place}` of `{dataset.name}`", how_to_get(dataset))


def read_copy(dataset: DataSet, copy: Copy) -> _Content:
    """The contents of a copy. Raises UsageError unless it is published or trusted, and can be unpacked."""
    if not copy.is_packed:
        pairs = zip(copy.paths, copy.file.parts, strict=True)
        parts = [read_unpacked_part(dataset, path, part, copy.file) for path, part in pairs]
        return _Content(copy.file, parts, list(copy.paths))
    (path,) = copy.paths
    data = read_bytes(path)
    is_whole = _has_checksum(data, copy.file.sha256) or _has_checksum(data, *dataset.trusted)
    try:
        parts = _unpack(data, copy.file, bounded=not is_whole)
    except ValueError as error:
        if is_whole:
            raise _unreadable(path, data, copy.file, error) from error
        parts = []
    if is_whole or (copy.file.parts and _is_published(parts, copy.file.parts)):
        return _Content(copy.file, parts, [path] * len(parts))
    raise _another(path, data, copy.file)


def read_parsed(dataset: DataSet, file: DataFile, folder: Path, parse: Callable[[bytes], T]) -> T:
    """Parse the only member of a file. Raises UsageError, also in place of a ValueError of `parse`."""
    content = read_content(dataset, file, folder)
    try:
        return parse(content.parts[0])
    except ValueError as error:
        raise _unreadable(content.paths[0], content.parts[0], file, error) from error


def _unpack(data: bytes, file: DataFile, bounded: bool) -> list[bytes]:
    """The members of a file; one that is not packed, or no longer, is its own only member.

    Raises ValueError if it is damaged, or lacks a member.
    """
    if ".tar" in file.name:
        return untar(data, [part.name for part in file.parts])
    if file.parts and data.startswith(GZIP):
        size = file.parts[0].size
        return [gunzip(data, size if bounded and size is not None else MOST_BYTES)]
    return [data]


def _is_published(found: Sequence[bytes], parts: Sequence[ArchiveMember]) -> bool:
    return len(found) == len(parts) and all(
        part.checksum is not None and _has_checksum(data, part.checksum)
        for data, part in zip(found, parts, strict=True)
    )


def read_unpacked_part(dataset: DataSet, path: Path, part: ArchiveMember, file: DataFile) -> bytes:
    data = read_bytes(path)
    if _has_checksum(data, *dataset.trusted):
        return data
    if part.checksum is None:
        is_right = part.size in (None, len(data)) and not known_as(data)
    else:
        is_right = _has_checksum(data, part.checksum)
    if is_right:
        return data
    raise _another(path, data, file, part)


def _has_checksum(data: bytes, *checksums: str) -> bool:
    lengths = {len(checksum) for checksum in checksums}
    kinds = [kind for kind in (hashlib.md5, hashlib.sha256) if 2 * kind().digest_size in lengths]
    return any(kind(data, usedforsecurity=False).hexdigest() in checksums for kind in kinds)


def _unreadable(path: Path, data: bytes, file: DataFile, error: ValueError) -> UsageError:
    """The error for a file that was accepted, but whose contents are not what they should be."""
    text = text_or_none(data)
    return UsageError(f"`{path}` {text.words if text else error}", help_for(file))


def _another(path: Path, data: bytes, file: DataFile, part: ArchiveMember | None = None) -> UsageError:
    identity = _what_it_is(data, file, part)
    return UsageError(f"`{path}` {identity.words}", help_for(file, identity))
