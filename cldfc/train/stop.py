"""How a training is asked to stop: SIGINT (Ctrl-C) and SIGTERM let it finish its step and save."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

SHOW_CURSOR = "\x1b[?25h"
BARS = 3
"""Lines of the live view, which draws itself over the lines above the cursor."""
ASKED = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM"}


class Stopped(Exception):
    """A training that stopped because it was asked to, after it had saved its state."""

    def __init__(self, folder: Path, number: int, is_first: bool = True) -> None:
        super().__init__(folder, number, is_first)
        self.folder = folder
        self.number = number
        self.is_first = is_first

    @property
    def exit_code(self) -> int:
        """What a shell reports for a program that a signal ended."""
        return 128 + self.number


@dataclass(slots=True)
class Request:
    """Whether a training has been asked to stop: the number of the signal, or 0."""

    number: int = 0


@contextmanager
def listen(is_alone: bool = True) -> Generator[Request]:
    """Note the first SIGINT or SIGTERM; after it, SIGINT ends the process at once, if it is alone: torchrun repeats it.

    Only for the main thread.
    """
    request = Request()

    def note(number: int, _frame: FrameType | None) -> None:
        request.number = request.number or number
        if not is_alone:
            return
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        cursor, room = (SHOW_CURSOR, "\n" * BARS) if sys.stderr.isatty() else ("", "\n")
        said = f"{ASKED[signal.Signals(number)]}: this step will be finished and saved; another Ctrl-C leaves at once"
        # `print` must not be entered again in its own midst.
        os.write(2, f"{cursor}\n{said}{room}".encode())

    before = {number: signal.signal(number, note) for number in ASKED}
    try:
        yield request
    finally:
        # torchrun ends the others of several with SIGTERM as soon as one is gone: they have yet to say what was saved.
        if is_alone or not request.number:
            for number, handler in before.items():
                signal.signal(number, handler)
