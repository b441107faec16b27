"""Downloads the files of data sets into temporary files, which are renamed once their SHA-256 has been checked."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from time import monotonic
from typing import BinaryIO
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

from cldfc.data.data_set import DataSet
from cldfc.data.dataset_files import copies, how_to_get, missing, read_content, text_or_none
from cldfc.data.published import DataFile
from cldfc.diagnostics import UsageError
from cldfc.files import aside_of, refusing, synced

_Heard = Callable[[int], None]

QUICK = 2.0
"""Seconds before any progress is shown."""

EVERY = 10.0
"""Seconds between two lines of progress."""


@contextmanager
def _show_bytes(size: int, say: Callable[[str], None]) -> Generator[_Heard]:
    """Shows how many of `size` bytes have arrived: as a bar on a terminal, otherwise in lines passed to `say`."""
    if not sys.stderr.isatty():
        yield byte_lines(size, say)
        return
    # Needed only on a terminal, and slow to import: a tenth of a second.
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

    from cldfc.console import Console

    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    bar = Progress(*columns, console=Console(sys.stderr), transient=True)
    task, began = bar.add_task("", total=size), monotonic()

    def move(done: int) -> None:
        if not bar.live.is_started and monotonic() - began > QUICK:
            bar.start()
        bar.update(task, completed=done)

    try:
        yield move
    finally:
        bar.stop()


def byte_lines(size: int, say: Callable[[str], None]) -> _Heard:
    began = monotonic()
    shown = 0.0

    def hear(done: int) -> None:
        nonlocal shown
        seconds = monotonic() - began
        if seconds >= (shown + EVERY if shown else QUICK):
            shown, speed = seconds, done / seconds
            left = max(0, size - done) / speed if speed else 0
            say(f"{done / 1e6:.1f} of {size / 1e6:.1f} MB, {speed / 1e6:.1f} MB/s, {left:.0f} s left")

    return hear


PATIENCE = 60
"""Seconds that a server may stay silent."""

_BLOCK = 2**18


def fetch_missing(dataset: DataSet, folder: Path, say: Callable[[str], None]) -> None:
    """Download the files of a data set that the folder lacks, passing each address and the progress to `say`.

    Raises UsageError if the data set cannot be downloaded freely, a server cannot be reached, or it sends anything
    but the published file, which is then not kept.
    """
    if dataset.folders and missing(dataset, folder):
        raise UsageError(f"`{dataset.name}` cannot be downloaded freely", how_to_get(dataset))
    for file in dataset.files:
        if _is_wanted(dataset, file, folder):
            say(f"fetching {file.url}")
            with _show_bytes(file.size, say) as heard:
                _fetch(file, folder / file.place, heard)


def _is_wanted(dataset: DataSet, file: DataFile, folder: Path) -> bool:
    # A file in this place is never replaced. One found elsewhere counts only if it is the published one.
    if os.path.lexists(folder / file.place):
        return False
    try:
        return not (copies(file, folder) and read_content(dataset, file, folder))
    except UsageError:
        return True


def _fetch(file: DataFile, path: Path, heard: _Heard) -> None:
    """Download a file to `path`. Raises UsageError if that fails, and then leaves `path` as it was."""
    with _answer(file, path) as response, _placed(path) as aside:
        digest, size, start = hashlib.sha256(), 0, b""
        for block in _blocks(response, file, path):
            aside.write(block)
            digest.update(block)
            size += len(block)
            start = start or block
            heard(size)
        if digest.hexdigest() == file.sha256:
            return
        if size == len(start) and (text := text_or_none(start)):
            raise _failed(file, path, f"what the server sends {text.words}", "see what it offers")
        if size < file.size:
            raise _failed(file, path, f"the server stopped after {size:,} of {file.size:,} bytes", "try again")
        reason = f"its {size:,} bytes have the SHA-256 {digest.hexdigest()[:12]}…, not {file.sha256[:12]}…"
        raise _failed(file, path, reason, "the file may have changed")


@contextmanager
def _answer(file: DataFile, path: Path) -> Generator[BinaryIO]:
    try:
        response = urlopen(file.url, timeout=PATIENCE)
    except HTTPError as error:
        reason = f"the server answers {error.code} {error.reason}"
        raise _failed(file, path, reason, "the address may have changed") from error
    except (OSError, HTTPException) as error:
        raise _failed(file, path, _why_unreachable(error), "see whether the server can be reached") from error
    with response:
        yield response


def _blocks(response: BinaryIO, file: DataFile, path: Path) -> Iterator[bytes]:
    """The bytes a server sends, at most one block more than published. Raises UsageError if reading them fails."""
    left = file.size + _BLOCK
    try:
        while left > 0 and (block := response.read(min(_BLOCK, left))):
            left -= len(block)
            yield block
    except (OSError, HTTPException) as error:
        got = file.size + _BLOCK - left
        reason = f"{_why_unreachable(error)} after {got:,} of {file.size:,} bytes"
        raise _failed(file, path, reason, "try again") from error


def _why_unreachable(error: Exception) -> str:
    reason = error.reason if type(error) is URLError else error
    if isinstance(reason, TimeoutError):
        return f"the server was silent for {PATIENCE} seconds"
    return str(reason) or type(reason).__name__


def _failed(file: DataFile, path: Path, reason: str, first: str) -> UsageError:
    return UsageError(f"cannot fetch {file.url}: {reason}", f"{first}, or copy the file to `{path}`")


@contextmanager
def _placed(path: Path) -> Generator[BinaryIO]:
    """A temporary file beside `path`, renamed to it at the end; its folder is created. Raises UsageError."""
    with refusing(f"`{path}` cannot be written", "give another folder by `--data-dir DIR`, or make room"):
        path.parent.mkdir(parents=True, exist_ok=True)
        with aside_of(path) as (handle, _), synced(handle) as file:
            yield file
