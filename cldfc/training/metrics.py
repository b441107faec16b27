"""What is measured in each epoch, and the CSV file it is kept in."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, ValidationError

from cldfc.diagnostics import UsageError, choices
from cldfc.files import read_text
from cldfc.recipe import Part, Recipe

Choice = Literal["validation", "last", "test"]
"""How the epoch is chosen whose weights are saved: by its validation accuracy, or it is the last one. Only earlier
releases of cldfc chose it by the test images."""

_HELP = "give the folder of a run that has finished at least one epoch"

_MaybeNumber = Annotated[float | None, BeforeValidator(lambda value: None if value == "" else value)]
"""A number that releases of cldfc before this one did not write; CSV has nothing in its place."""


_Number = Annotated[float, BeforeValidator(lambda value: math.nan if value is None else value)]
"""A number that need not be finite: in JSON it is then null."""


def _check_share(value: float | None) -> float | None:
    if value is not None and (value < 0 or value > 1):
        raise ValueError("a share of images is 0 to 1")
    return value


Share = Annotated[_Number, AfterValidator(_check_share)]


class Epoch(BaseModel):
    """What was measured in one epoch; losses are means of the cross-entropy over images."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    epoch: int
    """Its number, from 1."""
    train_loss: _Number
    """On the augmented training images, with smoothed labels, while the weights changed."""
    train_accuracy: Share
    """Share of the same images that were classified correctly, 0 to 1."""
    test_loss: _Number
    """On the test images, after the epoch."""
    test_accuracy: Share
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
    for part in parts:
        if part == text:
            return part
    raise UsageError(
        f"`{text}` is no part of a data set that a network is tested on", choices(text, parts, "the parts are")
    )


def chosen_epoch(epochs: Sequence[Epoch], choice: Choice) -> Epoch:
    """The epoch whose weights are saved, of all up to now; the first of equals."""
    return epochs[-1] if choice == "last" else max(epochs, key=lambda epoch: epoch.rank(choice))


def stopped_early(epochs: Sequence[Epoch], recipe: Recipe) -> bool:
    """Whether a training has ended for want of a better validation accuracy, before all its epochs."""
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
