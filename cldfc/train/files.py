"""Reads and writes the files of a run: only regular files of a sane size are read, and no link is written through."""

from __future__ import annotations

import errno
import json
import os
import re
import stat
import struct
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from io import BufferedReader
from math import prod
from pathlib import Path
from typing import Any, cast

from cldfc.diagnostics import UsageError
from cldfc.files import aside_of, synced, writing

HELP = "give the folder of a run, as `cldfc train` leaves it behind"
LARGEST_TEXT = 64 * 2**20
"""Bytes of a spec, a record or a table."""
LARGEST_TENSORS = 8 * 2**30
"""Bytes of weights, or of all tensors of a training."""
LARGEST_HEADER = 100_000_000
"""Bytes of the header of a safetensors file, as its makers have it."""


@contextmanager
def opened(path: Path, largest: int) -> Generator[BufferedReader]:
    """A file, open for reading, unless it is a pipe, a device, or larger than that. Raises OSError."""
    # Whoever opens a pipe otherwise waits for somebody to write into it.
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with os.fdopen(handle, "rb") as file:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file", str(path))
        if found.st_size > largest:
            raise OSError(errno.EINVAL, f"it has {found.st_size:,} bytes, more than {largest:,}", str(path))
        yield file


def read_file(path: Path, help: str = HELP, largest: int = LARGEST_TEXT) -> bytes:
    """The content of a file; raises UsageError, with a help, when it cannot be read."""
    try:
        with opened(path, largest) as file:
            return file.read()
    except OSError as error:
        raise UsageError(f"cannot read `{path}`: {error.strerror}", help) from error


def read_text(path: Path, help: str = HELP) -> str:
    """The text of a file; raises UsageError, with a help, when it cannot be read or is not UTF-8."""
    try:
        return read_file(path, help).decode()
    except UnicodeDecodeError as error:
        raise UsageError(f"cannot read `{path}`: it is not UTF-8 text", help) from error


def read_header(path: Path) -> dict[str, tuple[int, ...]]:
    """The shapes of the tensors in a safetensors file, by name; no tensor is read. Raises UsageError."""
    damaged = UsageError(
        f"`{path}` is not a safetensors file",
        "the weights are damaged: export them again, or let `cldfc train --resume RUN` write them anew",
    )
    try:
        with opened(path, LARGEST_TENSORS) as file:
            size = os.fstat(file.fileno()).st_size
            (length,) = struct.unpack("<Q", file.read(8))
            if length > min(size - 8, LARGEST_HEADER):
                raise damaged
            tensors = {name: each for name, each in json.loads(file.read(length)).items() if name != "__metadata__"}
        shapes = {name: tuple(each["shape"]) for name, each in tensors.items()}
        ends = [each["data_offsets"][1] for each in tensors.values()]
        is_whole = max(ends, default=0) == size - 8 - length
        # No type of number has less than half a byte.
        are_sane = all(
            isinstance(n, int) and 0 <= n <= 2 * size for shape in shapes.values() for n in (*shape, prod(shape))
        )
    except OSError as error:
        raise UsageError(
            f"cannot read `{path}`: {error.strerror}",
            "the weights are missing: `cldfc train --resume RUN` writes those of a run anew",
        ) from error
    except (ValueError, struct.error, TypeError, KeyError, IndexError, AttributeError, RecursionError) as error:
        raise damaged from error
    if not is_whole or not are_sane:
        raise damaged
    return shapes


def check_format(text: str | bytes, newest: int, path: Path) -> None:
    """Raises UsageError when a JSON file says that it has a later format."""
    try:
        found: object = json.loads(text)
    except (ValueError, RecursionError):
        return
    number = cast("dict[str, Any]", found).get("format") if isinstance(found, dict) else None
    if isinstance(number, int) and number > newest:
        raise UsageError(
            f"`{path}` has format {number}, of a later release of cldfc; this one reads formats up to {newest}",
            "use the release of cldfc that wrote it, or a later one",
        )


def half_written(names: Iterable[str]) -> re.Pattern[str]:
    """Matches what a process that was killed leaves of files that it was writing: `.NAME.x8f_03ab.part`."""
    return re.compile(rf"\.({'|'.join(map(re.escape, names))})\.[a-z0-9_]{{8}}\.part")


def write_run_file(path: Path, content: str | bytes) -> None:
    """Write a file into the folder of a run, as a whole or not at all, and never through a link. Raises UsageError."""
    refuse_link(path)
    data = content.encode() if isinstance(content, str) else content
    with writing(path), aside_of(path) as (handle, _), synced(handle) as file:
        file.write(data)


def refuse_link(path: Path, is_folder: bool = False) -> None:
    """Raises UsageError when a file of a run, or a folder in it, is a link or anything else than that."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        raise UsageError(f"`{path}` cannot be written: {error.strerror}", HELP) from error
    if not (stat.S_ISDIR(mode) if is_folder else stat.S_ISREG(mode)):
        what = "a link" if stat.S_ISLNK(mode) else "no folder" if is_folder else "not a regular file"
        raise UsageError(
            f"`{path}` cannot be written: it is {what}", "move it away: a run writes into its own folder only"
        )
