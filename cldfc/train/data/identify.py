"""Says what a file is that should be one of a data set, and is not."""

from __future__ import annotations

import hashlib
from functools import cache
from typing import NamedTuple

from cldfc.train.data.bounded import GZIP, gunzip, untar
from cldfc.train.entries import ENTRIES
from cldfc.train.published import ArchiveMember, DataFile

LONGEST_LINE = 60
SHA256_DIGITS = 64

LARGEST_PART = 2**26
"""Bytes of the largest file that is published gzipped, or more."""

IDX, MATLAB, BZIP2 = b"\0\0\x08", b"MATLAB 5.0", b"BZh"

BEGINNINGS = {
    b"PK\x03\x04": "is a zip archive",
    b"7z\xbc\xaf\x27\x1c": "is a 7z archive",
    b"Rar!": "is a rar archive",
    b"\xfd7zXZ": "is an xz archive",
    BZIP2: "is packed by bzip2",
    b"\x28\xb5\x2f\xfd": "is packed by zstd",
    b"\x89PNG": "is a PNG image",
    b"\xff\xd8\xff": "is a JPEG image",
    b"%PDF": "is a PDF document",
    b"\x89HDF": "is an HDF5 file",
    b"MATLAB 7.3": "is a file of MATLAB 7.3",
    MATLAB: "is another file of MATLAB",
    b"\x93NUMPY": "is a file of numpy",
    b"PAR1": "is a Parquet file",
}


class FileIdentity(NamedTuple):
    """What a file is, in words that go on after its name, and which data set has it."""

    words: str
    dataset: str = ""
    can_be_read: bool = False
    """Whether it may be a file of one's own in the expected format."""


def what_it_is(data: bytes, file: DataFile, part: ArchiveMember | None = None) -> FileIdentity:
    """What bytes are that should be those of a published file, or of a part of it."""
    if known := known_as(data):
        return FileIdentity(f"is `{known[1]}` of the data set `{known[0]}`", known[0])
    for beginning, words in BEGINNINGS.items():
        if data.startswith(beginning) and not is_expected(beginning, file):
            return FileIdentity(words)
    return text_or_none(data) or packed_or_damaged(data, file, part)


@cache
def checksums() -> dict[str, tuple[str, str]]:
    """For each checksum of a published file, or of what one holds, the data set and the name of that file."""
    found: dict[str, tuple[str, str]] = {}
    for dataset in ENTRIES:
        for file in (form for own in dataset.files for form in (own, *own.forms)):
            found[file.sha256] = dataset.name, file.name
            found |= {part.checksum: (dataset.name, part.name) for part in file.parts if part.checksum}
    return found


def known_as(data: bytes) -> tuple[str, str] | None:
    """The data set that has these bytes as a file, and the name of that; packed by gzip they are the same."""
    if (found := by_checksum(data)) or not data.startswith(GZIP):
        return found
    try:
        return by_checksum(gunzip(data, LARGEST_PART))
    except ValueError:
        return None


def by_checksum(data: bytes) -> tuple[str, str] | None:
    sums = (kind(data, usedforsecurity=False).hexdigest() for kind in (hashlib.sha256, hashlib.md5))
    return next((found for one in sums if (found := checksums().get(one))), None)


def is_expected(beginning: bytes, file: DataFile) -> bool:
    return (beginning == MATLAB and file.name.endswith(".mat")) or (beginning == BZIP2 and ".tar" in file.name)


def text_or_none(data: bytes) -> FileIdentity | None:
    start = data[:512].lstrip().lower()
    if start.startswith((b"<!doctype html", b"<html", b"<head")):
        return FileIdentity("is an HTML page, such as a server sends in place of a file")
    if start.startswith((b"<?xml", b"<error")):
        return FileIdentity("is an XML text, such as a server sends in place of a file")
    if start.startswith(b"version https://git-lfs"):
        return FileIdentity("is a pointer of Git LFS, not the file itself")
    try:
        lines = data[:512].decode("ascii").splitlines()
    except UnicodeDecodeError:
        return None
    if not lines or not all(line.isprintable() for line in lines):
        return None
    return FileIdentity(f"is a text that begins with `{lines[0][:LONGEST_LINE]}`")


def packed_or_damaged(data: bytes, file: DataFile, part: ArchiveMember | None) -> FileIdentity:
    size = part.size if part else file.size
    if not data:
        return cut_off(data, size)
    if part is None and file.parts:
        if packed := within(data, file):
            return packed
    elif size and len(data) < size and data.startswith(IDX if part else MATLAB):
        return cut_off(data, size)
    elif part and part.size and len(data) != part.size:
        return FileIdentity(f"is another file: it has {len(data):,} bytes, not {part.size:,}", can_be_read=True)
    return damaged(data, part.checksum if part else file.sha256)


def within(data: bytes, file: DataFile) -> FileIdentity | None:
    """What a packed file is, by what it holds; None where that cannot be told."""
    try:
        if ".tar" in file.name:
            untar(data, [part.name for part in file.parts])
            return FileIdentity("holds batches that are not the published ones", can_be_read=True)
        if not data.startswith(GZIP):
            return None
        content = gunzip(data)
    except ValueError as error:
        if str(error).startswith("cannot"):
            return None
        return cut_off(data, file.size) if str(error).startswith("is truncated") else FileIdentity(str(error))
    if content.startswith(IDX):
        return FileIdentity(
            f"holds an IDX file of {len(content):,} bytes that is not the published one", can_be_read=True
        )
    return FileIdentity("is gzipped, but holds no IDX file")


def cut_off(data: bytes, size: int | None) -> FileIdentity:
    if size is None or len(data) >= size:
        return FileIdentity("is truncated" if data else "is empty")
    return FileIdentity(f"is truncated: it has {len(data):,} of {size:,} bytes")


def damaged(data: bytes, checksum: str | None) -> FileIdentity:
    if checksum is None:
        return FileIdentity("is another file", can_be_read=True)
    kind = "SHA-256" if len(checksum) == SHA256_DIGITS else "MD5"
    found = hashlib.new(kind.replace("-", ""), data, usedforsecurity=False).hexdigest()
    return FileIdentity(
        f"is damaged or another file: its {len(data):,} bytes have the {kind} {found[:12]}…, not {checksum[:12]}…",
        can_be_read=True,
    )


def help_for(file: DataFile, identity: FileIdentity | None = None) -> str:
    """What to do with a file that is not the published one; it stays where it is."""
    fetch = f"`--download` with another `--data-dir` fetches the published file from {file.url}"
    if identity and identity.dataset:
        return f"`--data {identity.dataset}` trains on it; {fetch}"
    if identity and identity.can_be_read:
        return f"if it is your own, `--trust-files` reads it as it is; {fetch}"
    return f"{fetch}; images of your own are read by `--data folder:PATH` and `--data idx:PATH`"
