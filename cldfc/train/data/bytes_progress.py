"""Shows how far a download is, if it takes longer than a glance: a bar on a terminal, else a line now and then."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import monotonic

Heard = Callable[[int], None]

QUICK = 2.0
"""Seconds in which nothing is shown."""

EVERY = 10.0
"""Seconds from one line to the next."""


@contextmanager
def show_bytes(size: int, say: Callable[[str], None]) -> Generator[Heard]:
    """Shows how many of `size` bytes have come, on a terminal by a bar, else by lines that `say` hears."""
    if not sys.stderr.isatty():
        yield ByteLines(size, say)
        return
    # Only a terminal needs it, and it takes a tenth of a second to import.
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


@dataclass(slots=True)
class ByteLines:
    size: int
    say: Callable[[str], None]
    began: float = field(default_factory=monotonic)
    shown: float = 0

    def __call__(self, done: int) -> None:
        seconds = monotonic() - self.began
        if seconds < (self.shown + EVERY if self.shown else QUICK):
            return
        self.shown = seconds
        speed = done / seconds
        left = max(0, self.size - done) / speed if speed else 0
        self.say(f"{done / 1e6:.1f} of {self.size / 1e6:.1f} MB, {speed / 1e6:.1f} MB/s, {left:.0f} s left")
