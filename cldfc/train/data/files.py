"""The files of data sets: whether they are there, and whether they are the published ones.

Nothing is unpacked onto the disk: a file is read as it is published, after its SHA-256 has been compared. What
torchvision has unpacked, and whose archive is gone, is read as it lies there.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from cldfc.diagnostics import UsageError
from cldfc.train.catalogue import DataSet
from cldfc.train.published import DataFile, Part


def missing(dataset: DataSet, folder: Path) -> list[str]:
    """The files and folders that a data set needs and that the data folder lacks."""
    files = [file.name for file in dataset.files if not (is_packed(file, folder) or is_unpacked(file, folder))]
    return files + [name for name in dataset.folders if not (folder / name).is_dir()]


def is_packed(file: DataFile, folder: Path) -> bool:
    """Whether a file is there as it is published."""
    return (folder / file.name).is_file()


def is_unpacked(file: DataFile, folder: Path) -> bool:
    """Whether all that a file holds is there."""
    return bool(file.parts) and all((folder / part.name).is_file() for part in file.parts)


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
    path = folder / file.name
    data = read_bytes(path)
    help = f"delete it, then fetch it again with `--download` from {file.url}"
    check_size(str(path), len(data), file.size, help)
    check_sum(str(path), len(data), "SHA-256", hashlib.sha256(data).hexdigest(), file.sha256, help)
    return data


def read_part(part: Part, file: DataFile, folder: Path) -> bytes:
    """The bytes of an unpacked file; raises UsageError when it cannot be read or is another one."""
    path = folder / part.name
    data = read_bytes(path)
    help = f"delete it, then fetch `{file.name}` with `--download` from {file.url}"
    if part.size is not None:
        check_size(str(path), len(data), part.size, help)
        if len(data) > part.size:
            raise UsageError(f"`{path}` is another file: it has {len(data):,} bytes, not {part.size:,}", help)
    if part.md5 is not None:
        found = hashlib.md5(data, usedforsecurity=False).hexdigest()
        check_sum(str(path), len(data), "MD5", found, part.md5, help)
    return data


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
