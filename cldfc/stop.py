"""How a training is asked to stop: SIGINT (Ctrl-C) and SIGTERM let it finish its step and save."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Generator
from contextlib import contextmanager
from ctypes import Structure, c_int
from multiprocessing import parent_process
from pathlib import Path
from threading import Thread, current_thread, main_thread
from types import FrameType

_SHOW_CURSOR = "\x1b[?25h"
_BARS = 3
"""Lines of the live view, which draws itself over the lines above the cursor."""
_ASKED = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM"}


class Stopped(Exception):
    """A training that stopped because it was asked to, after it had saved its state."""

    def __init__(self, folder: Path, number: int, is_first: bool = True) -> None:
        super().__init__(folder, number, is_first)
        self.folder = folder
        self.number = number
        self.is_first = is_first

    def __str__(self) -> str:
        return f"the training was stopped and saved: `cldfc train --resume {self.folder}` goes on"

    def _render_traceback_(self) -> list[str]:
        # What IPython shows of it.
        return [str(self)]

    @property
    def exit_code(self) -> int:
        """What a shell reports for a program that a signal ended."""
        return 128 + self.number


class Request(Structure):
    """Whether a training has been asked to stop; several processes have one in common as `RawValue(Request)`."""

    number: int
    """Of the signal, or 0."""
    _fields_ = (("number", c_int),)


@contextmanager
def listen(is_alone: bool = True, request: Request | None = None) -> Generator[Request]:
    """Note the first SIGINT or SIGTERM; after it, SIGINT ends the process at once, if it is alone: torchrun repeats it.

    Signals reach the main thread alone; in another one nothing is heard.
    """
    request = Request() if request is None else request
    if current_thread() is not main_thread():
        yield request
        return

    def note(number: int, _frame: FrameType | None) -> None:
        request.number = request.number or number
        if not is_alone:
            return
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        cursor, room = (_SHOW_CURSOR, "\n" * _BARS) if sys.stderr.isatty() else ("", "\n")
        said = f"{_ASKED[signal.Signals(number)]}: finishing this step and saving; another Ctrl-C quits at once"
        # `print` must not be entered again in its own midst.
        os.write(2, f"{cursor}\n{said}{room}".encode())

    before = {number: signal.signal(number, note) for number in _ASKED}
    try:
        yield request
    finally:
        # torchrun ends the others of several with SIGTERM as soon as one is gone: they have yet to say what was saved.
        if is_alone or not request.number:
            for number, handler in before.items():
                signal.signal(number, handler)


@contextmanager
def deaf() -> Generator[None]:
    """Hold back SIGINT and SIGTERM, in this thread and in processes that are started, until they obey it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _ASKED)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def obey_parent() -> None:
    """Let this process serve the one that started it: that alone ends it, and it never outlives that one.

    `timeout`, systemd and Slurm send SIGTERM to all processes of a program, a terminal sends SIGINT: the parent
    decides what they mean.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "darwin":
        # It does not tell who has sent a signal.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    else:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        Thread(target=_end_when_told, daemon=True).start()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    Thread(target=_end_with_parent, daemon=True).start()


def _end_when_told() -> None:
    """End this process at a SIGTERM of its parent; one of anybody else is passed over."""
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != os.getppid():
        pass
    os._exit(0)


def _end_with_parent() -> None:
    """End this process as soon as the one that started it has ended, however that came about."""
    parent = parent_process()
    if parent:
        parent.join()
        os._exit(1)
