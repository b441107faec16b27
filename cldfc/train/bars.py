"""The live view of a training on a terminal: a bar over all epochs, one over the running epoch or its test."""

from __future__ import annotations

from collections.abc import Iterator
from time import monotonic

from rich.console import Console, ConsoleOptions, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from cldfc.train.metrics import Epoch
from cldfc.train.pace import Pace, clock, images_per_second, left_in_words, loss_in_words, speed_in_words
from cldfc.train.position import BEGINNING, TrainingPosition
from cldfc.train.recipe import Recipe

SHORTEST_BAR = 8
"""Columns of a bar with a space on each side."""

LONG_TEST = 2.0
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

    def status(self, what: str) -> None:
        self.what, self.since = what, monotonic()

    def start(self, recipe: Recipe, steps: int) -> None:
        self.pace.start(recipe, steps)

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

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
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
        if self.tested and monotonic() - self.test_began > LONG_TEST:
            # How many images there are is known from the test before.
            bar = ProgressBar(total=self.to_test or None, completed=self.tested)
            rows.append(("test", bar, f"{self.tested:,} images"))
        else:
            speed = speed_in_words(images_per_second(self.position))
            rows.append((f"step {done}/{pace.steps}", ProgressBar(total=pace.steps, completed=done), speed))
        is_wide = max(len(name) + len(said) for name, _, said in rows) + SHORTEST_BAR <= options.max_width
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

    def results(self, word: str) -> list[str]:
        """Loss and accuracy of the running epoch so far, and the accuracies of the last test; `word` follows names."""
        shown, measured = self.position.shown or 1, self.measured
        loss, hits = self.position.loss_sum / shown, self.position.hits / shown
        parts = [f"loss {loss_in_words(loss)}", f"train{word} {hits:.2%}"]
        if measured and measured.validation_accuracy is not None:
            parts.append(f"validation{word} {measured.validation_accuracy:.2%}")
        if measured:
            parts.append(f"test{word} {measured.test_accuracy:.2%}")
        return parts
