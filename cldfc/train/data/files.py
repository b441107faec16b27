"""The files of data sets: where they lie, and whether they are the published ones.

Nothing is unpacked onto the disk. A file is read when its SHA-256 is the published one, or when what it holds has the
published checksums, however it is packed; what others have unpacked is read as it lies there. Any other file is read
only if the data set trusts it (`trust`), and by the same readers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

from cldfc.diagnostics import UsageError
from cldfc.train.data.bounded import GZIP, MOST_BYTES, gunzip, kind_of, read_bytes, untar
from cldfc.train.data.identify import help_for, known_as, text_or_none, what_it_is
from cldfc.train.data_set import DataSet
from cldfc.train.published import ArchiveMember, DataFile

T = TypeVar("T")


class Copy(NamedTuple):
    """A file of a data set on this disk: as it is published, or the files that it holds."""

    file: DataFile
    paths: tuple[Path, ...]
    is_packed: bool

    def is_far(self, folder: Path) -> bool:
        """Whether it lies outside of the data folder."""
        return not self.paths[0].is_relative_to(folder)


class Content(NamedTuple):
    """What a file holds, part by part, and where that was found; `file` is the form in which it was."""

    file: DataFile
    parts: list[bytes]
    paths: list[Path]


def copies(file: DataFile, folder: Path) -> list[Copy]:
    """All that may be a file, in any of its forms: the data folder first, which may be an archive itself."""
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
    """Raises UsageError unless every file and folder of a data set is there."""
    lacking = missing(dataset, folder)
    if not lacking:
        return
    if kind := kind_of(folder / lacking[0]):
        raise UsageError(f"`{folder / lacking[0]}` is {kind}, not the file of `{dataset.name}`", how_to_get(dataset))
    if not folder.is_dir():
        what = f"`{folder}` is no folder" if folder.exists() else f"there is no folder `{folder}`"
        raise UsageError(f"{what} with the data set `{dataset.name}`", how_to_get(dataset))
    others = f" and {len(lacking) - 1} more" if len(lacking) > 1 else ""
    raise UsageError(f"`{folder}` lacks `{lacking[0]}`{others} of `{dataset.name}`", how_to_get(dataset))


def how_to_get(dataset: DataSet) -> str:
    """What to do where a data set is missing."""
    if dataset.folders:
        places = " and ".join(f"`DIR/{name}/CLASS/*.JPEG`" for name in dataset.folders)
        return f"name a folder with {places} by `--data-dir DIR`"
    first, *others = (file.url for file in dataset.files)
    address = f"{first.rpartition('/')[0]}/" if others else first
    package = f"; so does `apt install {dataset.package}` on Debian and Ubuntu" if dataset.package else ""
    return f"`--download` fetches it from {address}{package}; `--data-dir DIR` looks in another folder"


def read_published(file: DataFile, folder: Path) -> bytes:
    """The bytes of a file as it is published, for readers of other distributions (docs/data.md).

    Raises UsageError when it cannot be read, or is another one.
    """
    path = next((copy.paths[0] for copy in copies(file, folder) if copy.is_packed), folder / file.place)
    data = read_bytes(path)
    if not has_checksum(data, file.sha256):
        raise another(path, data, file)
    return data


def read_content(dataset: DataSet, file: DataFile, folder: Path) -> Content:
    """What a file of a data set holds, from the first copy of it that is the published one, or is trusted.

    Raises UsageError when there is none.
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


def read_copy(dataset: DataSet, copy: Copy) -> Content:
    """What a copy holds. Raises UsageError unless it is published or trusted, and can be unpacked."""
    if not copy.is_packed:
        pairs = zip(copy.paths, copy.file.parts, strict=True)
        parts = [read_unpacked_part(dataset, path, part, copy.file) for path, part in pairs]
        return Content(copy.file, parts, list(copy.paths))
    (path,) = copy.paths
    data = read_bytes(path)
    is_whole = has_checksum(data, copy.file.sha256) or has_checksum(data, *dataset.trusted)
    try:
        parts = unpack(data, copy.file, bounded=not is_whole)
    except ValueError as error:
        if is_whole:
            raise unreadable(path, data, copy.file, error) from error
        parts = []
    if is_whole or (copy.file.parts and is_published(parts, copy.file.parts)):
        return Content(copy.file, parts, [path] * len(parts))
    raise another(path, data, copy.file)


def read_parsed(dataset: DataSet, file: DataFile, folder: Path, parse: Callable[[bytes], T]) -> T:
    """What `parse` makes of the only part of a file. Raises UsageError, also for the ValueError of `parse`."""
    content = read_content(dataset, file, folder)
    try:
        return parse(content.parts[0])
    except ValueError as error:
        raise unreadable(content.paths[0], content.parts[0], file, error) from error


def unpack(data: bytes, file: DataFile, bounded: bool) -> list[bytes]:
    """What a file holds, part by part; what a browser has unpacked already is left as it is.

    Raises ValueError when it is damaged, or holds something else.
    """
    if ".tar" in file.name:
        return untar(data, [part.name for part in file.parts])
    if file.parts and data.startswith(GZIP):
        size = file.parts[0].size
        return [gunzip(data, size if bounded and size is not None else MOST_BYTES)]
    return [data]


def is_published(found: Sequence[bytes], parts: Sequence[ArchiveMember]) -> bool:
    return len(found) == len(parts) and all(
        part.checksum is not None and has_checksum(data, part.checksum) for data, part in zip(found, parts, strict=True)
    )


def read_unpacked_part(dataset: DataSet, path: Path, part: ArchiveMember, file: DataFile) -> bytes:
    data = read_bytes(path)
    if has_checksum(data, *dataset.trusted):
        return data
    if part.checksum is None:
        is_right = part.size in (None, len(data)) and not known_as(data)
    else:
        is_right = has_checksum(data, part.checksum)
    if is_right:
        return data
    raise another(path, data, file, part)


def has_checksum(data: bytes, *checksums: str) -> bool:
    lengths = {len(checksum) for checksum in checksums}
    kinds = [kind for kind in (hashlib.md5, hashlib.sha256) if 2 * kind().digest_size in lengths]
    return any(kind(data, usedforsecurity=False).hexdigest() in checksums for kind in kinds)


def unreadable(path: Path, data: bytes, file: DataFile, error: ValueError) -> UsageError:
    """The error for a file that is read, and does not hold what it should."""
    text = text_or_none(data)
    return UsageError(f"`{path}` {text.words if text else error}", help_for(file))


def another(path: Path, data: bytes, file: DataFile, part: ArchiveMember | None = None) -> UsageError:
    identity = what_it_is(data, file, part)
    return UsageError(f"`{path}` {identity.words}", help_for(file, identity))
