"""The batches of an epoch; order and augmentation are a pure function of seed, epoch and image number."""

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
"""Images, or image numbers."""


@dataclass(frozen=True, slots=True)
class Share:
    """The part of each batch that one of `count` processes sees: every `count`-th image, starting at its rank."""

    rank: int = 0
    count: int = 1

    def of(self, batch: Batch) -> Batch:
        """This process's part; every image is in exactly one part, and sizes differ by at most one."""
        return batch[slice(self.rank, None, self.count)]

    def even(self, batch: Batch) -> Batch:
        """This process's part, of the same size for all processes; the remainder of the batch is dropped."""
        return self.of(batch[slice(len(batch) // self.count * self.count)])


WHOLE = Share()


@dataclass(frozen=True, slots=True)
class Framed:
    """Training images with a margin of zeros, which a shifted crop may reach into.

    Shapes: `pixels` n × height × width × channels, margins included (uint8); `labels` n.
    """

    pixels: Tensor
    labels: Tensor
    rows: int
    """Height of the margin above and below each image."""
    columns: int
    """Width of the margin to its left and right."""

    def __len__(self) -> int:
        return len(self.labels)


class Draw(NamedTuple):
    """The random choices of an epoch: the order of the images, and how each is cropped and mirrored.

    Shapes: all n. `top`, `left` and `mirrored` are indexed by image number, not by position in the order.
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
    """A process's share of the shuffled, augmented batches of an epoch.

    Epochs count from 1; `first` is the step to start from, counted from 0. All batches have the same size, so batch
    norm never sees a small last one; the images left over, different ones in every epoch, are dropped.
    """
    draw = draw_epoch(len(images), recipe, epoch).to(images.labels.device)
    for step in range(first, steps_per_epoch(len(images), recipe)):
        shown = share.even(draw.order[step * recipe.batch : (step + 1) * recipe.batch])
        yield Images(cut_images(images, shown, draw), images.labels[shown])


class Held(Protocol):
    """Training batches taken from tensors at fixed addresses, as a CUDA graph requires."""

    def begin(self, epoch: int, first: int) -> None:
        """Prepare an epoch, counted from 1, starting at step `first`, counted from 0."""
        ...

    def fill(self) -> None:
        """Load the data of the next step; called before every step."""
        ...

    def batch(self, step: Tensor) -> Images:
        """The batch of a step; `step`, its number in the epoch, is a tensor of one element on the device."""
        ...


class HeldDraw(Held):
    """Batches gathered from images on the device by the epoch's draw, which is kept there, too."""

    def __init__(self, images: Framed, recipe: Recipe, share: Share = WHOLE) -> None:
        self.images, self.recipe = images, recipe
        device = images.labels.device
        self.draw = draw_epoch(len(images), recipe, 1).to(device)
        # If there are fewer images than a batch holds, the only batch has all of them.
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
    """Batches from an iterator; on CUDA each is copied into the memory of the first."""

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
    """The random generator of an epoch, seeded differently for every pair of seed and epoch."""
    return Generator().manual_seed(recipe.seed * EPOCH_LIMIT + epoch)


def draw_epoch(images: int, recipe: Recipe, epoch: int) -> Draw:
    """The random choices of an epoch, drawn on the CPU so that they do not depend on the device."""
    chance = chance_of(recipe, epoch)
    order = torch.randperm(images, generator=chance)
    top, left = (
        torch.randint(0, 2 * most + 1, (images,), generator=chance)
        for most in (recipe.shift_rows, recipe.shift_columns)
    )
    mirrored = torch.rand(images, generator=chance) < (0.5 if recipe.flip else 0)
    return Draw(order, top, left, mirrored)


def cut_images(images: Framed, shown: Tensor, draw: Draw) -> Tensor:
    """Shift and mirror each of some images, in a single gather of pixels.

    Shapes: `shown` k image numbers; result k × channels × height × width, channels-last in memory.
    """
    device, (_, high, wide, channels) = images.pixels.device, images.pixels.shape
    height, width = high - 2 * images.rows, wide - 2 * images.columns
    row = draw.top[shown, None] + torch.arange(height, device=device)
    column = draw.left[shown, None] + torch.arange(width, device=device)
    column = torch.where(draw.mirrored[shown, None], column.flip(1), column)
    places = ((shown[:, None] * high + row) * wide)[:, :, None] + column[:, None, :]
    pixels = images.pixels.view(-1, channels).index_select(0, places.flatten())
    return pixels.view(len(shown), height, width, channels).permute(0, 3, 1, 2)
