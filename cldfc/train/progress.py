"""Shows how a training goes: a live bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import json
import sys
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from cldfc.train.metrics import Epoch
from cldfc.train.recipe import Recipe

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

    from cldfc.train.loop import Progress

PLAIN_LINES = 20


@contextmanager
def show_progress(stream: TextIO = sys.stdout, transient: bool = False) -> Generator[Progress]:
    """Progress shown on a stream: live on a terminal, else at most 20 lines or so in a training.

    A transient bar goes away when the training ends.
    """
    if not stream.isatty():
        yield Lines(stream)
        return
    # Only a terminal needs it, and it takes a tenth of a second to import.
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("epoch {task.fields[epoch]}"),
        BarColumn(),
        TextColumn("loss {task.fields[loss]}  test accuracy {task.fields[accuracy]}"),
        TimeElapsedColumn(),
    )
    with Bar(*columns, console=Console(file=stream), transient=transient) as bar:
        yield Live(bar)


@contextmanager
def json_lines(stream: TextIO) -> Generator[Progress]:
    """Progress for programs, on a stream."""
    yield JsonLines(stream)


class Silence:
    """Shows nothing."""

    def start(self, recipe: Recipe, steps: int) -> None:
        """Nothing."""

    def step(self, epoch: int, step: int, loss: float) -> None:
        """Nothing."""

    def epoch(self, measured: Epoch) -> None:
        """Nothing."""


class Lines(Silence):
    """A line after some epochs, always after the first and the last."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.epochs = 1

    def start(self, recipe: Recipe, steps: int) -> None:
        """Remember how many epochs there will be."""
        self.epochs = recipe.epochs

    def epoch(self, measured: Epoch) -> None:
        """Print the epoch, if it is its turn."""
        every = -(-self.epochs // PLAIN_LINES)
        if measured.epoch == 1 or measured.epoch == self.epochs or measured.epoch % every == 0:
            print(in_words(measured, self.epochs), file=self.stream, flush=True)


class JsonLines(Silence):
    """A line of JSON after each epoch, of the kind `epoch`."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def epoch(self, measured: Epoch) -> None:
        """Print what was measured."""
        print(json.dumps({"kind": "epoch", **measured.model_dump()}), file=self.stream, flush=True)


class Live:
    """A bar over all steps, with the last loss and the last accuracy."""

    def __init__(self, bar: Bar) -> None:
        self.bar = bar
        self.epochs = self.steps = 1
        self.task = bar.add_task("training", start=False, epoch="1", loss="–", accuracy="–")

    def start(self, recipe: Recipe, steps: int) -> None:
        """Start the clock."""
        self.epochs, self.steps = recipe.epochs, steps
        self.bar.update(self.task, total=recipe.epochs * steps)
        self.bar.start_task(self.task)

    def step(self, epoch: int, step: int, loss: float) -> None:
        """Move the bar to a step."""
        done = (epoch - 1) * self.steps + step
        self.bar.update(self.task, completed=done, epoch=f"{epoch}/{self.epochs}", loss=f"{loss:.4f}")

    def epoch(self, measured: Epoch) -> None:
        """Show the accuracy."""
        self.bar.update(self.task, accuracy=f"{measured.test_accuracy:.2%}")


def in_words(measured: Epoch, epochs: int) -> str:
    """An epoch on one line."""
    return (
        f"epoch {measured.epoch:>{len(str(epochs))}}/{epochs}"
        f"  train loss {measured.train_loss:.4f}  accuracy {measured.train_accuracy:.2%}"
        f"  test loss {measured.test_loss:.4f}  accuracy {measured.test_accuracy:.2%}"
        f"  {measured.seconds:.1f} s"
    )
