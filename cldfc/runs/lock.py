"""One process at a time trains in a run folder, as long as that is in its place."""

from __future__ import annotations

import fcntl
import os
import stat
import struct
import sys
from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass

from cldfc.diagnostics import UsageError
from cldfc.files import refusing
from cldfc.runs.run_folder import RunFolder, refuse_links

# The C struct `flock`: kind of lock, whence, start, length, process; on macOS the kind is the fourth.
_FLOCK, _KIND = ("qqihh", 3) if sys.platform == "darwin" else ("hhqqi4x", 0)

_LONGEST = 20
"""Bytes of a lock: the number of a process."""

_held_folders: set[int] = set()
"""Handles of locked folders. Their locks, unlike those of files, are inherited: a child gives them back."""


def _give_back() -> None:
    """Let a forked process hold no lock of its parent, so that it frees the run when it is killed."""
    for handle in _held_folders:
        os.close(handle)
    _held_folders.clear()


os.register_at_fork(after_in_child=_give_back)


@dataclass(slots=True)
class Lock:
    """What a process holds that trains in a run folder.

    The lock of the folder cannot be taken away by `rm`, but holds on one machine only; that of the file
    `checkpoints/lock` holds on all that share the folder, and others can ask for it.
    """

    run: RunFolder
    folder: int
    """The handle of the run folder."""
    file: int
    """That of the file in it."""

    def check(self) -> None:
        """See that the run is still in its place, before anything is written into it.

        Raises UsageError when it was moved or deleted, as a whole or in part, or another process has taken it. A
        lock file that was removed is made anew.
        """
        path = self.run.path
        if not _is_open_as(path, self.folder):
            raise UsageError(
                f"`{path}` was moved or deleted while it was trained",
                f"if it is still there, move it back, then `cldfc train --resume {path}`",
            )
        for made in (self.run.spec, self.run.record):
            if not os.path.lexists(made):
                raise UsageError(f"`{made}` was deleted while the run was trained", "start another run")
        if _is_open_as(self.run.lock, self.file):
            return
        if os.path.lexists(self.run.lock):
            raise _in_use(self.run)
        file = _lock_file(self.run)
        os.close(self.file)
        self.file = file


def _is_open_as(path: os.PathLike[str], handle: int) -> bool:
    """Whether a handle is that of what has this path."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(handle))
    except OSError:
        return False


@contextmanager
def locked(run: RunFolder) -> Generator[Lock]:
    """Hold the lock of a run; the kernel frees it when the process ends, however it ends.

    Raises UsageError when another process holds it, or it cannot be taken.
    """
    refuse_links(run)
    folder = _lock_folder(run)
    try:
        lock = Lock(run, folder, _lock_file(run))
        try:
            yield lock
        except UsageError:
            # That a file cannot be written may be the first sign that the folder is gone.
            lock.check()
            raise
        finally:
            os.close(lock.file)
    finally:
        _close_folder(folder)


def _lock_folder(run: RunFolder) -> int:
    """Open and lock the folder of a run. Raises UsageError when another process has locked it."""
    with _locking(run):
        handle = os.open(run.path, os.O_RDONLY | os.O_DIRECTORY)
    _held_folders.add(handle)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        _close_folder(handle)
        raise _in_use(run) from None
    except OSError:
        # The file system does not know it: the lock of the file must do.
        pass
    return handle


def _close_folder(handle: int) -> None:
    """Free the lock of a folder."""
    _held_folders.discard(handle)
    os.close(handle)


def _lock_file(run: RunFolder) -> int:
    """Open and lock the lock file of a run, and write into it who holds it. Raises UsageError when that fails."""
    with _locking(run):
        run.lock.parent.mkdir(exist_ok=True)
        handle = os.open(run.lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o644)
        try:
            _refuse_foreign(run, handle)
            # A lock of this kind is not inherited.
            fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(handle, 0)
            os.write(handle, f"{os.getpid()}\n".encode())
        except (BlockingIOError, PermissionError):
            os.close(handle)
            raise _in_use(run) from None
        except BaseException:
            os.close(handle)
            raise
    return handle


def _refuse_foreign(run: RunFolder, handle: int) -> None:
    """Raises UsageError when what is to be the lock is somebody's file: its content would be lost."""
    found = os.fstat(handle)
    if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1 or found.st_size > _LONGEST:
        raise UsageError(f"`{run.lock}` is not a lock: something else has its name", "move it away")


def _locking(run: RunFolder) -> AbstractContextManager[None]:
    """Raises UsageError for a lock that cannot be taken, such as on a full disk."""
    help = "let the run folder be written, on a file system that has room and knows locks"
    return refusing(f"`{run.lock}` cannot be locked", help)


def _in_use(run: RunFolder) -> UsageError:
    """The error for a folder in which another process trains."""
    holder = "another process"
    with suppress(OSError):
        handle = os.open(run.lock, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
        try:
            number = os.pread(handle, _LONGEST, 0).decode(errors="replace").strip()
        finally:
            os.close(handle)
        holder = f"process {number}" if number.isdecimal() else holder
    return UsageError(f"`{run.path}` is in use: {holder} trains there", "wait for it to end, or give another folder")


def refuse_in_use(run: RunFolder) -> None:
    """Raises UsageError when another process holds the lock of a run; this one must not hold it."""
    if is_locked(run):
        raise _in_use(run)


def is_locked(run: RunFolder) -> bool:
    """Whether another process holds the lock of a run; the question takes it from nobody, not even for a moment.

    A process that holds it must not ask: it would lose it.
    """
    try:
        handle = os.open(run.lock, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    except OSError:
        return False
    fields = [0] * 5
    fields[_KIND] = fcntl.F_WRLCK
    try:
        answer = fcntl.fcntl(handle, fcntl.F_GETLK, struct.pack(_FLOCK, *fields))
    finally:
        os.close(handle)
    return struct.unpack(_FLOCK, answer)[_KIND] != fcntl.F_UNLCK
