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
        """Something begins that may take long."""
        self.what, self.since = what, monotonic()

    def start(self, recipe: Recipe, steps: int) -> None:
        """Start the clock."""
        self.pace.start(recipe, steps)

    def step(self, position: TrainingPosition) -> None:
        """A step is done."""
        self.pace.step(position)
        self.position, self.what = position, ""

    def test(self, images: int) -> None:
        """So many images are tested."""
        if not self.tested:
            self.test_began = monotonic()
        self.tested = images

    def epoch(self, measured: Epoch) -> None:
        """An epoch is done and tested."""
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
        rows = self.whole(), self.running_test() if self.is_long_test() else self.running_epoch()
        is_wide = max(len(name) + len(said) for name, _, said in rows) + SHORTEST_BAR <= options.max_width
        for name, bar, said in rows:
            grid.add_row(name, bar, said if is_wide else "")
        yield grid
        wide, narrow = self.results(" accuracy"), self.results("")
        yield Text("  ".join(wide if len("  ".join(wide)) <= options.max_width else last_of(narrow, options.max_width)))

    def whole(self) -> tuple[str, ProgressBar, str]:
        """The whole training, and how long it still takes."""
        pace = self.pace
        bar = ProgressBar(total=pace.epochs * pace.steps, completed=pace.last)
        return f"epoch {self.position.epoch}/{pace.epochs}", bar, left_in_words(pace.left)

    def running_epoch(self) -> tuple[str, ProgressBar, str]:
        """The running epoch, and how fast it is."""
        done, steps = self.position.step, self.pace.steps
        bar = ProgressBar(total=steps, completed=done)
        return f"step {done}/{steps}", bar, speed_in_words(images_per_second(self.position))

    def is_long_test(self) -> bool:
        """Whether a test is running that is worth a bar."""
        return self.tested > 0 and monotonic() - self.test_began > LONG_TEST

    def running_test(self) -> tuple[str, ProgressBar, str]:
        """The running test; how many images there are is known from the one before."""
        return "test", ProgressBar(total=self.to_test or None, completed=self.tested), f"{self.tested:,} images"

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


def last_of(parts: list[str], width: int) -> list[str]:
    """The last parts of a line that there is room for: no figure is cut."""
    while len(parts) > 1 and len("  ".join(parts)) > width:
        parts = parts[1:]
    return parts
