"""Shows how a training goes: live bars on a terminal, plain lines elsewhere, JSON for programs, or nothing."""

from __future__ import annotations

import sys
from collections.abc import Generator
from contextlib import contextmanager, suppress
from time import monotonic
from typing import TextIO

from cldfc.output import as_json, say, write_lines
from cldfc.train.metrics import Epoch
from cldfc.train.pace import Pace, Progress, Silence, images_per_second, left_in_words, loss_in_words, speed_in_words
from cldfc.train.position import TrainingPosition
from cldfc.train.recipe import Recipe

PLAIN_LINES = 20
MINUTE = 60.0
UPDATES = 4
"""Of a terminal, in a second."""


@contextmanager
def show_progress(stream: TextIO | None = None, transient: bool = False) -> Generator[Progress]:
    """Progress on a stream: live on a terminal, else in lines. Transient bars go away when the training ends."""
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


class Printing(Silence):
    """Prints lines. When that fails, as in a pipe that nobody reads, a warning says so and the training goes on."""

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

    def step(self, position: TrainingPosition) -> None:
        self.pace.step(position)
        if position.seconds < MINUTE:
            return
        now = monotonic()
        if now - self.said >= max(MINUTE, (now - self.began) / PLAIN_LINES):
            self.say(step_in_words(position, self.pace))

    def epoch(self, measured: Epoch) -> None:
        every = -(-self.pace.epochs // PLAIN_LINES)
        if measured.epoch == 1 or measured.epoch == self.pace.epochs or measured.epoch % every == 0:
            self.say(epoch_in_words(measured, self.pace))

    def say(self, line: str) -> None:
        super().say(line)
        self.said = monotonic()


class JsonLines(Printing):
    """A line of JSON after each epoch, of the kind `epoch`."""

    def epoch(self, measured: Epoch) -> None:
        self.say(as_json({"kind": "epoch", **measured.model_dump()}))


def step_in_words(position: TrainingPosition, pace: Pace) -> str:
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
    loss, accuracy = measured.validation_loss, measured.validation_accuracy
    validation = ""
    if loss is not None and accuracy is not None:
        validation = f"validation loss {loss_in_words(loss)}  accuracy {accuracy:.2%}"
    parts = (
        counted("epoch", measured.epoch, pace.epochs),
        f"train loss {loss_in_words(measured.train_loss)}  accuracy {measured.train_accuracy:.2%}",
        validation,
        f"test loss {loss_in_words(measured.test_loss)}  accuracy {measured.test_accuracy:.2%}",
        f"{measured.seconds:.1f} s",
        speed_in_words(measured.images_per_second),
        left_in_words(pace.left if measured.epoch < pace.epochs else None),
    )
    return "  ".join(filter(None, parts))


def counted(name: str, number: int, of: int) -> str:
    """`epoch  3/20`."""
    return f"{name} {number:>{len(str(of))}}/{of}"
