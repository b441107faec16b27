"""Where a training stands: everything about it that is no tensor and no generator."""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from cldfc.train.metrics import Epoch


class TrainingPosition(BaseModel):
    """A place between two steps of a training, with what has been measured up to it."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)

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
