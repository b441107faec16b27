"""Which images of a batch one of several processes sees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from torch import Tensor

from cldfc.train.images import Images

Batch = TypeVar("Batch", Tensor, Images, Sequence[int])
"""Images, or their numbers, in some order."""


@dataclass(frozen=True, slots=True)
class Share:
    """Every so-manyth image of a batch, from that of the process's rank on: each is seen by exactly one process."""

    rank: int = 0
    count: int = 1

    def of(self, batch: Batch) -> Batch:
        """The images of a batch that this process sees."""
        return batch[slice(self.rank, None, self.count)]

    def even(self, batch: Batch) -> Batch:
        """The same, as many as every other process sees: of a batch that cannot be shared evenly some sit out."""
        return self.of(batch[slice(len(batch) // self.count * self.count)])


WHOLE = Share()
