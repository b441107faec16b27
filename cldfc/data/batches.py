"""The batches of an epoch: order and augmentation, a pure function of (seed, epoch, number of the image)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeVar

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


class Held(Protocol):
    """Training batches that are taken out of tensors which stay where they are, as a CUDA graph needs them."""

    def begin(self, epoch: int, first: int) -> None:
        """Prepare the batches of an epoch, counted from 1, from its step `first`, counted from 0."""
        ...

    def fill(self) -> None:
        """Bring what the next batch is taken out of; always before that."""
        ...

    def batch(self, step: Tensor) -> Images:
        """The batch of a step of the epoch, whose number lies on the device: one number."""
        ...


class HeldDraw(Held):
    """Batches of images that lie on the device, with the draw of the epoch beside them."""

    def __init__(self, images: Framed, recipe: Recipe, share: Share = WHOLE) -> None:
        self.images, self.recipe = images, recipe
        device = images.labels.device
        self.draw = draw_epoch(len(images), recipe, 1).to(device)
        # A batch for which there are not enough images holds all of them.
        self.own = share.even(torch.arange(min(recipe.batch, len(images)))).to(device)

    def begin(self, epoch: int, first: int) -> None:
        for held, drawn in zip(self.draw, draw_epoch(len(self.images), self.recipe, epoch), strict=True):
            held.copy_(drawn)

    def fill(self) -> None:
        pass

    def batch(self, step: Tensor) -> Images:
        shown = self.draw.order.index_select(0, step * self.recipe.batch + self.own)
        return Images(cut_images(self.images, shown, self.draw), self.images.labels.index_select(0, shown))


class HeldBatch(Held):
    """Batches that come from elsewhere; on CUDA each is copied into the place of the first."""

    def __init__(self, batches: Callable[[int, int], Iterator[Images]]) -> None:
        self.batches = batches
        self.coming: Iterator[Images] = iter([])
        self.held: Images | None = None

    def begin(self, epoch: int, first: int) -> None:
        self.coming = self.batches(epoch, first)

    def fill(self) -> None:
        batch = next(self.coming)
        if self.held is None or not batch.labels.is_cuda:
            self.held = batch
        else:
            self.held.pixels.copy_(batch.pixels)
            self.held.labels.copy_(batch.labels)

    def batch(self, step: Tensor) -> Images:
        assert self.held is not None
        return self.held


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
