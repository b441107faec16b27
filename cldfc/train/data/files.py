"""The files of data sets: whether they are there, whether they are the published ones, and how they are fetched.

Nothing is unpacked onto the disk: a file is read as it is published, after its SHA-256 has been compared.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from cldfc.diagnostics import UsageError
from cldfc.files import write_file
from cldfc.train.catalogue import DataFile, DataSet

PATIENCE = 60
"""Seconds that a server may stay silent."""


def missing(dataset: DataSet, folder: Path) -> list[str]:
    """The files and folders that a data set needs and that the data folder lacks."""
    files = [file.name for file in dataset.files if not (folder / file.name).is_file()]
    return files + [name for name in dataset.folders if not (folder / name).is_dir()]


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
    return "`--download` fetches it; `--data-dir DIR` looks in another folder"


def read_published(file: DataFile, folder: Path) -> bytes:
    """The bytes of a file; raises UsageError when it cannot be read or is not the published one."""
    path = folder / file.name
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read `{path}`: {error.strerror}", "give a folder that may be read") from error
    return checked(data, file, str(path), f"delete it, then fetch it again with `--download` from {file.url}")


def checked(data: bytes, file: DataFile, where: str, help: str) -> bytes:
    """The same bytes; raises UsageError unless they are those of the published file."""
    found = hashlib.sha256(data).hexdigest()
    if found != file.sha256:
        raise UsageError(
            f"`{where}` is cut off, damaged or another file: "
            f"its {len(data):,} bytes have the SHA-256 {found[:12]}…, not {file.sha256[:12]}…",
            help,
        )
    return data


def fetch_missing(dataset: DataSet, folder: Path, say: Callable[[str], None]) -> None:
    """Fetch the files of a data set that the folder lacks; `say` hears each address.

    Raises UsageError when a data set is not offered for download, a server cannot be reached, or
    what it sends is not the published file, which is then not kept.
    """
    if dataset.folders and missing(dataset, folder):
        raise UsageError(f"`{dataset.name}` cannot be downloaded freely", how_to_get(dataset))
    for file in dataset.files:
        path = folder / file.name
        if not path.is_file():
            say(f"fetching {file.url}")
            data = checked(fetch(file), file, file.url, f"put the published file at `{path}`")
            make_parent(path)
            write_file(path, data)


def fetch(file: DataFile) -> bytes:
    """What a server sends; raises UsageError when it sends nothing, or not all."""
    try:
        with urlopen(file.url, timeout=PATIENCE) as response:
            return response.read()
    except (OSError, HTTPException) as error:
        reason = error.reason if type(error) is URLError else error
        raise UsageError(
            f"cannot fetch {file.url}: {reason}",
            f"see whether it can be reached, or copy the file to `DIR/{file.name}`",
        ) from error


def make_parent(path: Path) -> None:
    """Make the folder that a file will lie in; raises UsageError when that fails."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"cannot make the folder `{path.parent}`: {error.strerror}", "give another one by `--data-dir DIR`"
        ) from error
