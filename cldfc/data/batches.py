"""The batches of an epoch: order and augmentation, a pure function of (seed, epoch, number of the image)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import torch
from torch import Generator, Tensor
from torch.nn.functional import pad

from cldfc.data.images import Images
from cldfc.recipe import EPOCH_LIMIT, Recipe, steps_per_epoch

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


@dataclass(frozen=True, slots=True)
class Framed:
    """Training images, each in a margin of zeros into which it is shifted.

    Shapes: `pixels` n × height × width × channels with the margin on both sides (uint8), `labels` n.
    """

    pixels: Tensor
    labels: Tensor
    rows: int
    """Zeros above each image, and below it."""
    columns: int
    """Zeros to its left, and to its right."""

    def __len__(self) -> int:
        return len(self.labels)


class Draw(NamedTuple):
    """What chance decides in an epoch: the order of the images, and where each is cut out of its frame.

    Shapes: all n; `top`, `left` and `mirrored` are those of an image by its number, wherever it stands in the order.
    """

    order: Tensor
    top: Tensor
    left: Tensor
    mirrored: Tensor

    def to(self, device: torch.device) -> Draw:
        return Draw(*(part.to(device) for part in self))


def frame(images: Images, recipe: Recipe) -> Framed:
    rows, columns = recipe.shift_rows, recipe.shift_columns
    framed = pad(images.pixels, (columns, columns, rows, rows)).permute(0, 2, 3, 1).contiguous()
    return Framed(framed, images.labels, rows, columns)


def epoch_batches(images: Framed, recipe: Recipe, epoch: int, first: int = 0, share: Share = WHOLE) -> Iterator[Images]:
    """A share of the shuffled and augmented batches of an epoch, counted from 1, from its step `first`, counted from 0.

    All are of one size, so batch norm never meets a batch of one; the images left over, other
    ones in every epoch, are not shown.
    """
    draw = draw_epoch(len(images), recipe, epoch).to(images.labels.device)
    for step in range(first, steps_per_epoch(len(images), recipe)):
        shown = share.even(draw.order[step * recipe.batch : (step + 1) * recipe.batch])
        yield Images(cut_images(images, shown, draw), images.labels[shown])


def chance_of(recipe: Recipe, epoch: int) -> Generator:
    """What an epoch is drawn from: no two epochs of any two seeds share it."""
    return Generator().manual_seed(recipe.seed * EPOCH_LIMIT + epoch)


def draw_epoch(images: int, recipe: Recipe, epoch: int) -> Draw:
    """What chance decides in an epoch; it is drawn on the CPU, so it does not depend on the device."""
    chance = chance_of(recipe, epoch)
    order = torch.randperm(images, generator=chance)
    top, left = (
        torch.randint(0, 2 * most + 1, (images,), generator=chance)
        for most in (recipe.shift_rows, recipe.shift_columns)
    )
    mirrored = torch.rand(images, generator=chance) < (0.5 if recipe.flip else 0)
    return Draw(order, top, left, mirrored)


def cut_images(images: Framed, shown: Tensor, draw: Draw) -> Tensor:
    """Some images by their numbers, each shifted and mirrored on its own: one gather of pixels.

    Shapes: `shown` k, the result k × channels × height × width, channels-last in memory.
    """
    device, (_, high, wide, channels) = images.pixels.device, images.pixels.shape
    height, width = high - 2 * images.rows, wide - 2 * images.columns
    row = draw.top[shown, None] + torch.arange(height, device=device)
    column = draw.left[shown, None] + torch.arange(width, device=device)
    column = torch.where(draw.mirrored[shown, None], column.flip(1), column)
    places = ((shown[:, None] * high + row) * wide)[:, :, None] + column[:, None, :]
    pixels = images.pixels.view(-1, channels).index_select(0, places.flatten())
    return pixels.view(len(shown), height, width, channels).permute(0, 3, 1, 2)
