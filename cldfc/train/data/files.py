"""The files of data sets: whether they are there, and whether they are the published ones.

Nothing is unpacked onto the disk: a file is read as it is published, after its SHA-256 has been compared. What
torchvision has unpacked, and whose archive is gone, is read as it lies there.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import zlib
from pathlib import Path

from cldfc.diagnostics import UsageError
from cldfc.train.catalogue import DataSet
from cldfc.train.published import DataFile, Part

SHA256_DIGITS = 64


def missing(dataset: DataSet, folder: Path) -> list[str]:
    """The files and folders that a data set needs and that the data folder lacks."""
    files = [file.name for file in dataset.files if not is_there(file, folder)]
    return files + [name for name in dataset.folders if not (folder / name).is_dir()]


def is_there(file: DataFile, folder: Path) -> bool:
    """Whether a file is there, or all that it holds."""
    return bool(packed(file, folder)) or all_parts(file, folder) is not None


def packed(file: DataFile, folder: Path) -> list[Path]:
    """Where a file lies as it is published, or may: the data folder first."""
    return [path for place in (file.name, *file.places) if (path := folder / place).is_file()]


def unpacked(part: Part, folder: Path) -> list[Path]:
    """Where what a file holds lies unpacked, or may: the data folder first."""
    return [path for place in (part.name, *part.places) if (path := folder / place).is_file()]


def all_parts(file: DataFile, folder: Path) -> list[list[Path]] | None:
    """Where each part of a file may lie unpacked; None unless all are there."""
    found = [unpacked(part, folder) for part in file.parts]
    return found if found and all(found) else None


def require(dataset: DataSet, folder: Path) -> None:
    """Raises UsageError unless every file and folder of a data set is there."""
    lacking = missing(dataset, folder)
    if lacking and not folder.is_dir():
        raise UsageError(f"there is no folder `{folder}` with the data set `{dataset.name}`", how_to_get(dataset))
    if lacking:
        others = f" and {len(lacking) - 1} more" if len(lacking) > 1 else ""
        raise UsageError(f"`{folder}` lacks `{lacking[0]}`{others} of `{dataset.name}`", how_to_get(dataset))


def how_to_get(dataset: DataSet) -> str:
    """What to do where a data set is missing."""
    if dataset.folders:
        places = " and ".join(f"`DIR/{name}/CLASS/*.JPEG`" for name in dataset.folders)
        return f"name a folder with {places} by `--data-dir DIR`"
    first, *others = (file.url for file in dataset.files)
    address = f"{first.rpartition('/')[0]}/" if others else first
    return f"`--download` fetches it from {address}; `--data-dir DIR` looks in another folder"


def read_published(file: DataFile, folder: Path) -> bytes:
    """The bytes of a file; raises UsageError when it cannot be read or is not the published one."""
    path = packed(file, folder)[0]
    data = read_bytes(path)
    check_published(path, data, file)
    return data


def read_part(part: Part, file: DataFile, folder: Path) -> bytes:
    """The bytes of an unpacked file; raises UsageError when it cannot be read or is another one."""
    path = unpacked(part, folder)[0]
    data = read_bytes(path)
    check_part(path, data, part, file)
    return data


def read_unzipped(file: DataFile, folder: Path) -> tuple[bytes, str]:
    """What a gzipped file holds, and where it was found.

    A file that somebody has packed anew is as good as the published one when it holds the same. Raises UsageError
    when the file cannot be read or is another one, wherever it is found.
    """
    (part,) = file.parts
    zipped = [(path, file.name) for path in packed(file, folder)]
    paths = sorted(
        [*zipped, *((path, part.name) for path in unpacked(part, folder))], key=lambda found: is_far(found, folder)
    )
    problems: list[UsageError] = []
    for path, name in paths:
        data = read_bytes(path)
        try:
            if name == part.name:
                check_part(path, data, part, file)
                return data, str(path)
            return unzip_checked(path, data, part, file), str(path)
        except UsageError as error:
            problems.append(error)
    raise problems[0]


def unzip_checked(path: Path, data: bytes, part: Part, file: DataFile) -> bytes:
    """What a gzipped file holds. Raises UsageError unless the file is the published one, or holds the same."""
    if has_checksum(data, file.sha256):
        return gzip.decompress(data)
    content = unzip(data, part.size)
    if content is None or not has_checksum(content, part.checksum):
        check_published(path, data, file)
    return content or b""


def unzip(data: bytes, size: int | None) -> bytes | None:
    """What gzipped bytes hold, if they hold so many; never more is unpacked."""
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
            content = file.read(-1 if size is None else size + 1)
    except (OSError, EOFError, zlib.error):
        return None
    return content if size in (None, len(content)) else None


def is_far(found: tuple[Path, str], folder: Path) -> bool:
    """Whether a file lies outside of the data folder."""
    return not found[0].is_relative_to(folder)


def has_checksum(data: bytes, checksum: str | None) -> bool:
    """Whether bytes have this MD5 or SHA-256."""
    if checksum is None:
        return False
    kind = hashlib.sha256 if len(checksum) == SHA256_DIGITS else hashlib.md5
    return kind(data, usedforsecurity=False).hexdigest() == checksum


def check_published(path: Path, data: bytes, file: DataFile) -> None:
    """Raises UsageError unless the bytes of a file are the published ones."""
    help = f"`--download` with another `--data-dir` fetches the published file from {file.url}"
    check_size(str(path), len(data), file.size, help)
    check_sum(str(path), len(data), "SHA-256", hashlib.sha256(data).hexdigest(), file.sha256, help)


def check_part(path: Path, data: bytes, part: Part, file: DataFile) -> None:
    """Raises UsageError unless the bytes of an unpacked file are those that are packed in the published one."""
    help = f"`--download` with another `--data-dir` fetches `{file.name}` from {file.url}"
    if part.size is not None:
        check_size(str(path), len(data), part.size, help)
        if len(data) > part.size:
            raise UsageError(f"`{path}` is another file: it has {len(data):,} bytes, not {part.size:,}", help)
    if part.checksum is not None and not has_checksum(data, part.checksum):
        kind = "SHA-256" if len(part.checksum) == SHA256_DIGITS else "MD5"
        found = hashlib.new(kind.replace("-", ""), data, usedforsecurity=False).hexdigest()
        check_sum(str(path), len(data), kind, found, part.checksum, help)


def read_bytes(path: Path) -> bytes:
    """The bytes of a file; raises UsageError when it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read `{path}`: {error.strerror}", "give a folder that may be read") from error


def check_size(where: str, found: int, published: int, help: str) -> None:
    """Raises UsageError when there are fewer bytes than are published."""
    if found < published:
        raise UsageError(f"`{where}` is cut off: it has {found:,} of {published:,} bytes", help)


def check_sum(where: str, size: int, kind: str, found: str, published: str, help: str) -> None:
    """Raises UsageError unless a checksum is the published one."""
    if found != published:
        raise UsageError(
            f"`{where}` is damaged or another file: "
            f"its {size:,} bytes have the {kind} {found[:12]}…, not {published[:12]}…",
            help,
        )
