"""Shows how a training goes: live bars on a terminal, plain lines elsewhere, JSON for programs, or nothing."""

from __future__ import annotations

import sys
from collections.abc import Generator
from contextlib import contextmanager, suppress
from time import monotonic
from typing import TYPE_CHECKING, TextIO

from cldfc.output import as_json, say, write_lines
from cldfc.train.metrics import Epoch
from cldfc.train.pace import Pace, images_per_second, left_in_words, loss_in_words, speed_in_words
from cldfc.train.position import TrainingPosition
from cldfc.train.recipe import Recipe

if TYPE_CHECKING:
    from cldfc.train.loop import Progress

PLAIN_LINES = 20
MINUTE = 60.0
UPDATES = 4
"""Of a terminal, in a second."""


@contextmanager
def show_progress(stream: TextIO | None = None, transient: bool = False) -> Generator[Progress]:
    """Progress shown on a stream, or on what is the standard output now: live on a terminal, else in lines.

    Transient bars go away when the training ends.
    """
    shown: TextIO = sys.stdout if stream is None else stream
    if not shown.isatty():
        yield Lines(shown)
        return
    # Only a terminal needs it, and it takes a tenth of a second to import.
    from rich.live import Live

    from cldfc.console import Console
    from cldfc.train.bars import Bars

    bars = Bars()
    with Live(bars, console=Console(shown), transient=transient, refresh_per_second=UPDATES):
        yield bars


@contextmanager
def json_lines(stream: TextIO) -> Generator[Progress]:
    """Progress for programs, on a stream."""
    yield JsonLines(stream)


@contextmanager
def silent() -> Generator[Progress]:
    """Progress that nobody sees."""
    yield Silence()


class Silence:
    """Shows nothing."""

    def status(self, what: str) -> None:
        """Nothing."""

    def start(self, recipe: Recipe, steps: int) -> None:
        """Nothing."""

    def step(self, position: TrainingPosition) -> None:
        """Nothing."""

    def test(self, images: int) -> None:
        """Nothing."""

    def epoch(self, measured: Epoch) -> None:
        """Nothing."""


class Printing(Silence):
    """Prints lines. When that fails, as in a pipe that nobody reads, a warning says so and the training goes on."""

    def __init__(self, stream: TextIO) -> None:
        self.stream: TextIO | None = stream

    def say(self, line: str) -> None:
        """Print a line."""
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
        """Print what begins."""
        self.say(what)

    def start(self, recipe: Recipe, steps: int) -> None:
        """Start the clock."""
        self.pace.start(recipe, steps)
        self.began = self.said = monotonic()

    def step(self, position: TrainingPosition) -> None:
        """Print how far a long epoch is, if it is time."""
        self.pace.step(position)
        if position.seconds < MINUTE:
            return
        now = monotonic()
        if now - self.said >= max(MINUTE, (now - self.began) / PLAIN_LINES):
            self.say(step_in_words(position, self.pace))

    def epoch(self, measured: Epoch) -> None:
        """Print the epoch, if it is its turn."""
        every = -(-self.pace.epochs // PLAIN_LINES)
        if measured.epoch == 1 or measured.epoch == self.pace.epochs or measured.epoch % every == 0:
            self.say(epoch_in_words(measured, self.pace))

    def say(self, line: str) -> None:
        """Print a line, and note the time."""
        super().say(line)
        self.said = monotonic()


class JsonLines(Printing):
    """A line of JSON after each epoch, of the kind `epoch`."""

    def epoch(self, measured: Epoch) -> None:
        """Print what was measured."""
        self.say(as_json({"kind": "epoch", **measured.model_dump()}))


def step_in_words(position: TrainingPosition, pace: Pace) -> str:
    """A place within an epoch on one line."""
    parts = (
        counted("epoch", position.epoch, pace.epochs),
        counted("step", position.step, pace.steps),
        f"train loss {loss_in_words(position.loss_sum / position.shown)}",
        f"accuracy {position.hits / position.shown:.2%}",
        speed_in_words(images_per_second(position)),
        left_in_words(pace.left),
    )
    return "  ".join(filter(None, parts))


def epoch_in_words(measured: Epoch, pace: Pace) -> str:
    """An epoch on one line."""
    parts = (
        counted("epoch", measured.epoch, pace.epochs),
        f"train loss {loss_in_words(measured.train_loss)}  accuracy {measured.train_accuracy:.2%}",
        validation_in_words(measured),
        f"test loss {loss_in_words(measured.test_loss)}  accuracy {measured.test_accuracy:.2%}",
        f"{measured.seconds:.1f} s",
        speed_in_words(measured.images_per_second),
        left_in_words(pace.left if measured.epoch < pace.epochs else None),
    )
    return "  ".join(filter(None, parts))


def validation_in_words(measured: Epoch) -> str:
    """What the images for validation say of an epoch; nothing without any."""
    loss, accuracy = measured.validation_loss, measured.validation_accuracy
    if loss is None or accuracy is None:
        return ""
    return f"validation loss {loss_in_words(loss)}  accuracy {accuracy:.2%}"


def counted(name: str, number: int, of: int) -> str:
    """`epoch  3/20`."""
    return f"{name} {number:>{len(str(of))}}/{of}"
