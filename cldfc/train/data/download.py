"""Fetches the files of data sets: written aside, hashed on the way, and named when they are the published ones."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from typing import BinaryIO
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

from cldfc.diagnostics import UsageError
from cldfc.files import aside_of, synced
from cldfc.train.data.bytes_progress import Heard, show_bytes
from cldfc.train.data.files import copies, how_to_get, missing, read_content
from cldfc.train.data.identify import text_or_none
from cldfc.train.data_set import DataSet
from cldfc.train.published import DataFile

PATIENCE = 60
"""Seconds that a server may stay silent."""

BLOCK = 2**18


def fetch_missing(dataset: DataSet, folder: Path, say: Callable[[str], None]) -> None:
    """Fetch the files of a data set that the folder lacks; `say` hears each address, and how far it is.

    Raises UsageError when a data set is not offered for download, a server cannot be reached, or
    what it sends is not the published file, which is then not kept.
    """
    if dataset.folders and missing(dataset, folder):
        raise UsageError(f"`{dataset.name}` cannot be downloaded freely", how_to_get(dataset))
    for file in dataset.files:
        if is_wanted(dataset, file, folder):
            say(f"fetching {file.url}")
            with show_bytes(file.size, say) as heard:
                fetch(file, folder / file.place, heard)


def is_wanted(dataset: DataSet, file: DataFile, folder: Path) -> bool:
    # What lies in its place stays, whatever it is; what lies elsewhere may be another file.
    if os.path.lexists(folder / file.place):
        return False
    try:
        return not (copies(file, folder) and read_content(dataset, file, folder))
    except UsageError:
        return True


def fetch(file: DataFile, path: Path, heard: Heard) -> None:
    """Bring a file to its place. Raises UsageError when that fails; the place is then left as it was."""
    with answer(file, path) as response, placed(path) as aside:
        digest, size, start = hashlib.sha256(), 0, b""
        for block in blocks(response, file, path):
            aside.write(block)
            digest.update(block)
            size += len(block)
            start = start or block
            heard(size)
        if digest.hexdigest() == file.sha256:
            return
        if size == len(start) and (text := text_or_none(start)):
            raise failed(file, path, f"what the server sends {text.words}", "see what it offers")
        if size < file.size:
            raise failed(file, path, f"the server stopped after {size:,} of {file.size:,} bytes", "try again")
        reason = f"its {size:,} bytes have the SHA-256 {digest.hexdigest()[:12]}…, not {file.sha256[:12]}…"
        raise failed(file, path, reason, "the file may have changed")


@contextmanager
def answer(file: DataFile, path: Path) -> Generator[BinaryIO]:
    try:
        response = urlopen(file.url, timeout=PATIENCE)
    except HTTPError as error:
        reason = f"the server answers {error.code} {error.reason}"
        raise failed(file, path, reason, "the address may have changed") from error
    except (OSError, HTTPException) as error:
        raise failed(file, path, why_unreachable(error), "see whether the server can be reached") from error
    with response:
        yield response


def blocks(response: BinaryIO, file: DataFile, path: Path) -> Iterator[bytes]:
    """What a server sends, at most a block more than is published. Raises UsageError when it stops in the middle."""
    left = file.size + BLOCK
    try:
        while left > 0 and (block := response.read(min(BLOCK, left))):
            left -= len(block)
            yield block
    except (OSError, HTTPException) as error:
        got = file.size + BLOCK - left
        reason = f"{why_unreachable(error)} after {got:,} of {file.size:,} bytes"
        raise failed(file, path, reason, "try again") from error


def why_unreachable(error: Exception) -> str:
    reason = error.reason if type(error) is URLError else error
    if isinstance(reason, TimeoutError):
        return f"the server was silent for {PATIENCE} seconds"
    return str(reason) or type(reason).__name__


def failed(file: DataFile, path: Path, reason: str, first: str) -> UsageError:
    return UsageError(f"cannot fetch {file.url}: {reason}", f"{first}, or copy the file to `{path}`")


@contextmanager
def placed(path: Path) -> Generator[BinaryIO]:
    """A file beside its place, in a folder that is made for it, which gets its name in the end. Raises UsageError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with aside_of(path) as (handle, _), synced(handle) as file:
            yield file
    except OSError as error:
        raise UsageError(
            f"`{path}` cannot be written: {error.strerror}", "give another folder by `--data-dir DIR`, or make room"
        ) from error
