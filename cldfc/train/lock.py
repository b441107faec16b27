"""One process at a time trains in a run folder."""

from __future__ import annotations

import fcntl
import os
import stat
import struct
import sys
from collections.abc import Generator
from contextlib import contextmanager

from cldfc.diagnostics import UsageError
from cldfc.train.run import RunFolder, refuse_links

# The C struct `flock`: kind of lock, whence, start, length, process; on macOS the kind is the fourth.
FLOCK, KIND = ("qqihh", 3) if sys.platform == "darwin" else ("hhqqi4x", 0)


LONGEST = 20
"""Bytes of a lock: the number of a process."""


@contextmanager
def locked(run: RunFolder) -> Generator[None]:
    """Hold the lock of a run; the kernel frees it when the process ends, however it ends.

    Raises UsageError when another process holds it, or it cannot be taken.
    """
    refuse_links(run)
    try:
        run.lock.parent.mkdir(exist_ok=True)
        handle = os.open(run.lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o644)
    except OSError as error:
        raise cannot_lock(run, error) from error
    try:
        refuse_foreign(run, handle)
        take(run, handle)
        yield
    finally:
        os.close(handle)


def refuse_foreign(run: RunFolder, handle: int) -> None:
    """Raises UsageError when what is to be the lock is somebody's file: its content would be lost."""
    found = os.fstat(handle)
    if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1 or found.st_size > LONGEST:
        raise UsageError(f"`{run.lock}` is no lock: something else has its name", "move it away")


def take(run: RunFolder, handle: int) -> None:
    """Lock the file and write into it who holds it. Raises UsageError when another process does, or that fails."""
    try:
        # A lock of this kind is not inherited: processes that read images do not keep it when the trainer is killed.
        fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(handle, 0)
        os.write(handle, f"{os.getpid()}\n".encode())
    except (BlockingIOError, PermissionError):
        raise in_use(run, handle) from None
    except OSError as error:
        raise cannot_lock(run, error) from error


def cannot_lock(run: RunFolder, error: OSError) -> UsageError:
    """The error for a lock that cannot be taken, such as on a full disk."""
    help = "let the run folder be written, on a file system that has room and knows locks"
    return UsageError(f"`{run.lock}` cannot be locked: {error.strerror}", help)


def in_use(run: RunFolder, handle: int) -> UsageError:
    """The error for a folder in which another process trains."""
    holder = os.pread(handle, LONGEST, 0).decode(errors="replace").strip() or "unknown"
    return UsageError(
        f"`{run.path}` is in use: process {holder} trains there", "wait for it to end, or give another folder"
    )


def is_locked(run: RunFolder) -> bool:
    """Whether another process holds the lock of a run; the question takes it from nobody, not even for a moment.

    A process that holds it must not ask: it would lose it.
    """
    try:
        handle = os.open(run.lock, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    except OSError:
        return False
    fields = [0] * 5
    fields[KIND] = fcntl.F_WRLCK
    try:
        answer = fcntl.fcntl(handle, fcntl.F_GETLK, struct.pack(FLOCK, *fields))
    finally:
        os.close(handle)
    return struct.unpack(FLOCK, answer)[KIND] != fcntl.F_UNLCK
