"""What is measured in each epoch, and the CSV file it is kept in."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from cldfc.diagnostics import UsageError
from cldfc.train.files import read_text

HELP = "give the folder of a run that has finished at least one epoch"

MaybeNumber = Annotated[float | None, BeforeValidator(lambda value: None if value == "" else value)]
"""A number that releases of cldfc before this one did not write; CSV has nothing in its place."""


class Epoch(BaseModel):
    """What was measured in one epoch; losses are means of the cross-entropy over images."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    epoch: int
    """Its number, from 1."""

    train_loss: float
    """On the augmented training images, with smoothed labels, while the weights changed."""

    train_accuracy: float
    """Share of the same images that were classified correctly, 0 to 1."""

    test_loss: float
    """On the test images, after the epoch."""

    test_accuracy: float
    """Share of the test images that were classified correctly, 0 to 1."""

    seconds: float
    """Wall-clock time of the epoch, with its test."""

    lr: MaybeNumber = None
    """The learning rate of its last step."""

    images_per_second: MaybeNumber = None
    """Training images, over the wall-clock time of the epoch without its test."""

    @property
    def rank(self) -> tuple[float, float]:
        """Greater is better: test accuracy, then lower test loss."""
        return self.test_accuracy, -self.test_loss


def best_epoch(epochs: Iterable[Epoch]) -> Epoch:
    """The epoch of the highest test accuracy; among equals the lowest test loss decides."""
    return max(epochs, key=lambda epoch: epoch.rank)


def as_csv(epochs: Sequence[Epoch]) -> str:
    """The epochs as CSV, a row each; numbers are read back exactly."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(Epoch.model_fields), lineterminator="\n")
    writer.writeheader()
    writer.writerows(epoch.model_dump() for epoch in epochs)
    return text.getvalue()


def read_epochs(path: Path) -> list[Epoch]:
    """The epochs in a CSV file, at least one.

    Raises UsageError when the file is missing, holds none, or anything else.
    """
    rows = csv.DictReader(read_text(path, HELP).splitlines())
    try:
        epochs = [Epoch.model_validate(row) for row in rows]
    except (ValidationError, csv.Error) as error:
        raise UsageError(f"`{path}` does not hold the epochs of a run", HELP) from error
    if not epochs:
        raise UsageError(f"`{path}` holds no epoch", HELP)
    return epochs
