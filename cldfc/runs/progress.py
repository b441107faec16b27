"""Shows how a training goes: live bars on a terminal, plain lines elsewhere, JSON for programs, or nothing."""

from __future__ import annotations

import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from time import monotonic
from typing import TYPE_CHECKING, TextIO

from cldfc.output import as_json, say, write_lines
from cldfc.recipe import Recipe
from cldfc.training.metrics import (
    BEGINNING,
    Epoch,
    Pace,
    Progress,
    Silence,
    TrainingPosition,
    clock,
    images_per_second,
    left_in_words,
    loss_in_words,
    speed_in_words,
)

if TYPE_CHECKING:
    from rich.console import ConsoleOptions, RenderableType

_SHORTEST_BAR = 8
"""Columns of a bar with a space on each side."""

_LONG_TEST = 2.0
"""Seconds after which a test gets a bar of its own."""


class Bars:
    """Keeps the last thing heard; it is drawn a few times a second, whatever the pace of the steps."""

    def __init__(self) -> None:
        self.pace = Pace()
        self.position = BEGINNING
        self.measured: Epoch | None = None
        self.what, self.since = "starting", monotonic()
        self.tested = self.to_test = 0
        self.test_began = 0.0
        self.remarks: list[str] = []

    def status(self, what: str) -> None:
        self.what, self.since = what, monotonic()

    def start(self, recipe: Recipe, steps: int) -> None:
        self.pace.start(recipe, steps)

    def remark(self, what: str) -> None:
        self.remarks.append(f"remark: {what}")

    def step(self, position: TrainingPosition) -> None:
        self.pace.step(position)
        self.position, self.what = position, ""

    def test(self, images: int) -> None:
        if not self.tested:
            self.test_began = monotonic()
        self.tested = images

    def epoch(self, measured: Epoch) -> None:
        self.measured = measured
        self.tested, self.to_test = 0, self.tested

    def __rich_console__(self, console: object, options: ConsoleOptions) -> Iterator[RenderableType]:
        # Only a terminal needs them, and they take a tenth of a second to import.
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        if self.what:
            yield Text(f"{self.what}  {clock(monotonic() - self.since)}", no_wrap=True, overflow="ellipsis")
            return
        grid = Table.grid(padding=(0, 1), expand=True)
        grid.add_column(no_wrap=True)
        grid.add_column(ratio=1)
        grid.add_column(no_wrap=True)
        pace, done = self.pace, self.position.step
        whole = ProgressBar(total=pace.epochs * pace.steps, completed=pace.last)
        rows = [(f"epoch {self.position.epoch}/{pace.epochs}", whole, left_in_words(pace.left))]
        if self.tested and monotonic() - self.test_began > _LONG_TEST:
            # How many images there are is known from the test before.
            bar = ProgressBar(total=self.to_test or None, completed=self.tested)
            rows.append(("test", bar, f"{self.tested:,} images"))
        else:
            speed = speed_in_words(images_per_second(self.position))
            rows.append((f"step {done}/{pace.steps}", ProgressBar(total=pace.steps, completed=done), speed))
        is_wide = max(len(name) + len(said) for name, _, said in rows) + _SHORTEST_BAR <= options.max_width
        for name, bar, said in rows:
            grid.add_row(name, bar, said if is_wide else "")
        yield grid
        parts = self.results(" accuracy")
        if len("  ".join(parts)) > options.max_width:
            parts = self.results("")
        # No figure is cut: the first ones go where there is no room for all.
        while len(parts) > 1 and len("  ".join(parts)) > options.max_width:
            parts = parts[1:]
        yield Text("  ".join(parts))
        yield from map(Text, self.remarks)

    def results(self, word: str) -> list[str]:
        """Loss and accuracy of the running epoch so far, and the accuracies of the last test; `word` follows names."""
        shown, measured = self.position.shown or 1, self.measured
        loss, hits = self.position.loss_sum / shown, self.position.hits / shown
        parts = [f"loss {loss_in_words(loss)}", f"train{word} {hits:.2%}"]
        found = {"validation": measured.validation_accuracy, "test": measured.test_accuracy} if measured else {}
        tested = [f"{name}{word} {accuracy:.2%}" for name, accuracy in found.items() if accuracy is not None]
        return [*parts, *tested]


_PLAIN_LINES = 20
_MINUTE = 60.0
_UPDATES = 4
"""Of a terminal, in a second."""


@contextmanager
def silent() -> Generator[Progress]:
    yield Silence()


@contextmanager
def show_progress(stream: TextIO | None = None, transient: bool = False) -> Generator[Progress]:
    """Progress on a stream: live on a terminal, else in lines. Transient bars go away when the training ends."""
    shown: TextIO = sys.stdout if stream is None else stream
    if not shown.isatty():
        yield Lines(shown)
        return
    from rich.live import Live

    from cldfc.console import Console

    bars = Bars()
    with Live(bars, console=Console(shown), transient=transient, refresh_per_second=_UPDATES):
        yield bars


class Printing(Silence):
    """Prints lines. If that fails, as in a pipe that nobody reads, a warning says so and the training continues."""

    def __init__(self, stream: TextIO) -> None:
        self.stream: TextIO | None = stream

    def say(self, line: str) -> None:
        if self.stream is None:
            return
        try:
            write_lines([line], self.stream)
        except OSError as error:
            self.stream = None
            with suppress(OSError):
                say(f"warning: progress is no longer shown: {error.strerror}; training goes on")


class Lines(Printing):
    """A line after some epochs, 20 or so in a training, always after the first and the last.

    Within an epoch that takes more than a minute there are lines, too: a minute after the last one at first,
    later after a twentieth of the time that the training has taken.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self.pace = Pace()
        self.began = self.said = monotonic()

    def status(self, what: str) -> None:
        self.say(what)

    def start(self, recipe: Recipe, steps: int) -> None:
        self.pace.start(recipe, steps)
        self.began = self.said = monotonic()

    def remark(self, what: str) -> None:
        self.say(f"remark: {what}")

    def step(self, position: TrainingPosition) -> None:
        self.pace.step(position)
        if position.seconds < _MINUTE:
            return
        now = monotonic()
        if now - self.said >= max(_MINUTE, (now - self.began) / _PLAIN_LINES):
            self.say(_step_in_words(position, self.pace))

    def epoch(self, measured: Epoch) -> None:
        every = -(-self.pace.epochs // _PLAIN_LINES)
        if measured.epoch == 1 or measured.epoch == self.pace.epochs or measured.epoch % every == 0:
            self.say(epoch_in_words(measured, self.pace))

    def say(self, line: str) -> None:
        super().say(line)
        self.said = monotonic()


class JsonLines(Printing):
    """A line of JSON after each epoch, of the kind `epoch`; remarks go to standard error."""

    def remark(self, what: str) -> None:
        say(f"remark: {what}")

    def epoch(self, measured: Epoch) -> None:
        self.say(as_json({"kind": "epoch", **measured.model_dump()}))


def _step_in_words(position: TrainingPosition, pace: Pace) -> str:
    parts = (
        _counted("epoch", position.epoch, pace.epochs),
        _counted("step", position.step, pace.steps),
        f"train loss {loss_in_words(position.loss_sum / position.shown)}",
        f"accuracy {position.hits / position.shown:.2%}",
        speed_in_words(images_per_second(position)),
        left_in_words(pace.left),
    )
    return "  ".join(filter(None, parts))


def epoch_in_words(measured: Epoch, pace: Pace) -> str:
    loss, accuracy = measured.validation_loss, measured.validation_accuracy
    validation = ""
    if loss is not None and accuracy is not None:
        validation = f"validation loss {loss_in_words(loss)}  accuracy {accuracy:.2%}"
    parts = (
        _counted("epoch", measured.epoch, pace.epochs),
        f"train loss {loss_in_words(measured.train_loss)}  accuracy {measured.train_accuracy:.2%}",
        validation,
        f"test loss {loss_in_words(measured.test_loss)}  accuracy {measured.test_accuracy:.2%}",
        f"{measured.seconds:.1f} s",
        speed_in_words(measured.images_per_second),
        left_in_words(pace.left if measured.epoch < pace.epochs else None),
    )
    return "  ".join(filter(None, parts))


def _counted(name: str, number: int, of: int) -> str:
    """`epoch  3/20`."""
    return f"{name} {number:>{len(str(of))}}/{of}"
