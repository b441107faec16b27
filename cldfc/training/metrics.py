"""What is measured in each epoch, the position and the pace of a training, and the interface of its progress."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Annotated, Literal, Protocol, Self, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, ValidationError, model_validator

from cldfc.diagnostics import UsageError, one_of
from cldfc.files import read_text
from cldfc.recipe import Part, Recipe

Choice = Literal["validation", "last", "test"]
"""How the epoch whose weights are saved is chosen: by validation accuracy, or as the last one. Only earlier releases of
cldfc chose it by the test images."""

_HELP = "give the folder of a run that has finished at least one epoch"

_MaybeNumber = Annotated[float | None, BeforeValidator(lambda value: None if value == "" else value)]
"""A number that releases of cldfc before this one did not write; CSV has nothing in its place."""

_Number = Annotated[float, BeforeValidator(lambda value: math.nan if value is None else value)]
"""A number that need not be finite: in JSON it is then null."""


def _check_share(value: float | None) -> float | None:
    # Not a number is allowed here; the limits of pydantic refuse it.
    if value is not None and (value < 0 or value > 1):
        raise ValueError("a share of images is 0 to 1")
    return value


_Share = Annotated[_Number, AfterValidator(_check_share)]


class Epoch(BaseModel, frozen=True, extra="forbid"):
    """What was measured in one epoch; losses are means of the cross-entropy over images."""

    epoch: int
    """Its number, from 1."""
    train_loss: _Number
    """On the augmented training images, with smoothed labels, while the weights changed."""
    train_accuracy: _Share
    """Share of the same images that were classified correctly, 0 to 1."""
    test_loss: _Number
    """On the test images, after the epoch."""
    test_accuracy: _Share
    """Share of the test images that were classified correctly, 0 to 1."""
    seconds: _Number
    """Wall-clock time of the epoch, with its tests."""
    lr: _MaybeNumber = None
    """The learning rate of its last step."""
    images_per_second: _MaybeNumber = None
    """Training images, over the wall-clock time of the epoch without its tests."""
    validation_loss: _MaybeNumber = None
    """On the images for validation, after the epoch, if there are any."""
    validation_accuracy: Annotated[_MaybeNumber, AfterValidator(_check_share)] = None
    """Share of the images for validation that were classified correctly, 0 to 1."""

    def accuracy_on(self, part: Part) -> float | None:
        """The accuracy on a part; None for validation where there is none."""
        return self.test_accuracy if part == "test" else self.validation_accuracy

    def rank(self, part: Part) -> tuple[float, float]:
        """Greater is better: the accuracy on a part, then the lower loss. An epoch without that part is the worst."""
        accuracy, loss = self.accuracy_on(part), self.test_loss if part == "test" else self.validation_loss
        return (-1.0, 0.0) if accuracy is None or loss is None else (accuracy, -loss)


def parse_part(text: str) -> Part:
    """`test` or `validation`. Raises UsageError."""
    parts: tuple[Part, ...] = get_args(Part)
    return one_of(text, parts, "part of a data set that a network is tested on", "the parts are")


def chosen_epoch(epochs: Sequence[Epoch], choice: Choice) -> Epoch:
    """The epoch whose weights are saved, among those so far; the first of equals."""
    return epochs[-1] if choice == "last" else max(epochs, key=lambda epoch: epoch.rank(choice))


def stopped_early(epochs: Sequence[Epoch], recipe: Recipe) -> bool:
    """Whether a training has ended before its last epoch, because the validation accuracy no longer improved."""
    if not recipe.patience or not 0 < len(epochs) < recipe.epochs:
        return False
    accuracies = [epoch.rank("validation")[0] for epoch in epochs]
    return len(epochs) - 1 - accuracies.index(max(accuracies)) >= recipe.patience


def is_complete(epochs: Sequence[Epoch], recipe: Recipe) -> bool:
    return len(epochs) >= recipe.epochs or stopped_early(epochs, recipe)


def as_csv(epochs: Sequence[Epoch]) -> str:
    """The epochs as CSV, a row each; numbers are read back exactly."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(Epoch.model_fields), lineterminator="\n")
    writer.writeheader()
    writer.writerows(epoch.model_dump() for epoch in epochs)
    return text.getvalue()


def read_epochs(path: Path) -> list[Epoch]:
    """The epochs in a CSV file, at least one. Raises UsageError."""
    rows = csv.DictReader(read_text(path, _HELP).splitlines())
    try:
        epochs = [Epoch.model_validate(row) for row in rows]
    except (ValidationError, csv.Error) as error:
        raise UsageError(f"`{path}` does not hold the epochs of a run", _HELP) from error
    if not epochs:
        raise UsageError(f"`{path}` holds no epoch", _HELP)
    return epochs


class TrainingPosition(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """A place between two steps of a training, with what has been measured up to it."""

    epoch: int = Field(default=1, ge=1)
    """The running epoch, from 1; after the last one, one more than there are."""
    step: int = Field(default=0, ge=0)
    """Steps done in the running epoch."""
    loss_sum: float = 0.0
    """Sum of the losses of the images shown in the running epoch."""
    hits: int = Field(default=0, ge=0)
    """Those of these images that were classified correctly."""
    shown: int = Field(default=0, ge=0)
    """Number of these images."""
    seconds: float = 0.0
    """Wall-clock time of the running epoch so far."""
    epochs: tuple[Epoch, ...] = ()
    """What was measured in the finished epochs."""

    @model_validator(mode="after")
    def has_every_epoch(self) -> Self:
        if [epoch.epoch for epoch in self.epochs] != list(range(1, self.epoch)):
            raise ValueError("the finished epochs are not those before the running one")
        return self


BEGINNING = TrainingPosition()


def after_step(position: TrainingPosition, loss: float, hits: int, shown: int, seconds: float) -> TrainingPosition:
    """The position after one more step, with its mean loss, on `shown` images; `seconds` are those of the epoch."""
    return TrainingPosition(
        epoch=position.epoch,
        step=position.step + 1,
        loss_sum=position.loss_sum + loss * shown,
        hits=position.hits + hits,
        shown=position.shown + shown,
        seconds=seconds,
        epochs=position.epochs,
    )


class Progress(Protocol):
    """Hears how a training goes."""

    def status(self, what: str) -> None:
        """Something begins that may take long, such as reading images; it ends with the next thing heard."""

    def start(self, recipe: Recipe, steps: int) -> None:
        """Training begins: `steps` steps in each epoch."""

    def remark(self, what: str) -> None:
        """Something is worth knowing of the whole training."""

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
