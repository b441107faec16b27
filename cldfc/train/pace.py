"""What hears how a training goes; how fast that is, and how long it still takes."""

from __future__ import annotations

from dataclasses import dataclass
from time import monotonic
from typing import Protocol

from cldfc.train.metrics import Epoch
from cldfc.train.position import TrainingPosition
from cldfc.train.recipe import Recipe


class Progress(Protocol):
    """Hears how a training goes."""

    def status(self, what: str) -> None:
        """Something begins that may take long, such as reading images; it ends with the next thing heard."""

    def start(self, recipe: Recipe, steps: int) -> None:
        """Training begins: `steps` steps in each epoch."""

    def step(self, position: TrainingPosition) -> None:
        """A step is done, and this is the position after it."""

    def test(self, images: int) -> None:
        """So many images of the running test, of all parts that are tested, are done."""

    def epoch(self, measured: Epoch) -> None:
        """An epoch is done and tested."""


class Silence(Progress):
    """Shows nothing."""


@dataclass(slots=True)
class Pace:
    """Steps done over time; the first one after a start, which warms everything up, is not counted."""

    epochs: int = 1
    """How many there will be."""
    steps: int = 1
    """Steps in an epoch."""
    first: int = -1
    began: float = 0.0
    last: int = 0
    now: float = 0.0

    def start(self, recipe: Recipe, steps: int) -> None:
        self.epochs, self.steps, self.first = recipe.epochs, steps, -1

    def step(self, position: TrainingPosition) -> None:
        self.last, self.now = (position.epoch - 1) * self.steps + position.step, monotonic()
        if self.first < 0:
            self.first, self.began = self.last, self.now

    @property
    def left(self) -> float | None:
        """Seconds until the last step, at the pace so far, with its tests; None when nothing is known yet."""
        if not 0 <= self.first < self.last:
            return None
        return (self.now - self.began) / (self.last - self.first) * (self.epochs * self.steps - self.last)


def images_per_second(position: TrainingPosition) -> float | None:
    """Training images of the running epoch so far, over its time; None before there are any."""
    return position.shown / position.seconds if position.seconds > 0 else None


def speed_in_words(speed: float | None) -> str:
    """`1,234 images/s`; with a digit more where they are few; nothing for None."""
    return "" if speed is None else f"{speed:,.{0 if speed >= 10 else 1}f} images/s"


def loss_in_words(loss: float) -> str:
    """`0.4321`; on the way to divergence `1.928e+23`."""
    return f"{loss:.4f}" if loss < 1e4 else f"{loss:.3e}"


def left_in_words(seconds: float | None) -> str:
    """`1:23:45 left`; nothing for None."""
    return "" if seconds is None else f"{clock(seconds)} left"


def clock(seconds: float) -> str:
    """Hours, minutes and seconds: `1:23:45`, `0:42`."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"
