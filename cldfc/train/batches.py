"""The batches of an epoch: order and augmentation, a pure function of (seed, epoch, place in the order)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import torch
from torch import Generator, Tensor
from torch.nn.functional import pad

from cldfc.train.images import Images
from cldfc.train.recipe import EPOCH_LIMIT, Recipe


@dataclass(frozen=True, slots=True)
class Draw:
    """What chance decides for a batch: which images, how far each is shifted, and whether it is mirrored.

    Shapes: `order` n; `top`, `left` n × 1, None where nothing is shifted; `mirrored` n, None where nothing is.
    """

    order: Tensor
    top: Tensor | None = None
    left: Tensor | None = None
    mirrored: Tensor | None = None

    def to(self, device: torch.device) -> Draw:
        """The same on a device."""
        rest = (None if tensor is None else tensor.to(device) for tensor in (self.top, self.left, self.mirrored))
        return Draw(self.order.to(device), *rest)


def steps_per_epoch(images: int, recipe: Recipe) -> int:
    """Number of batches in an epoch; one smaller batch where the images fill none."""
    return max(1, images // recipe.batch)


def epoch_batches(images: Images, recipe: Recipe, epoch: int, first: int = 0) -> Iterator[Images]:
    """The shuffled and augmented batches of an epoch, counted from 1, from its step `first`, counted from 0.

    All are of one size, so batch norm never meets a batch of one; the images left over, other
    ones in every epoch, are not shown.
    """
    for draw in islice(draw_epoch(len(images), recipe, epoch), first, None):
        here = draw.to(images.labels.device)
        batch = images[here.order]
        yield Images(augment(batch.pixels, recipe, here), batch.labels)


def draw_epoch(images: int, recipe: Recipe, epoch: int) -> Iterator[Draw]:
    """What chance decides in an epoch, batch by batch.

    Everything is drawn on the CPU: it does not depend on the device, nor on which batches are shown.
    """
    chance = Generator().manual_seed(recipe.seed * EPOCH_LIMIT + epoch)
    order = torch.randperm(images, generator=chance)
    for step in range(steps_per_epoch(images, recipe)):
        yield draw_batch(order[step * recipe.batch : (step + 1) * recipe.batch], recipe, chance)


def draw_batch(order: Tensor, recipe: Recipe, chance: Generator) -> Draw:
    """The shifts and reflections of a batch."""
    top = left = mirrored = None
    if recipe.shift_rows or recipe.shift_columns:
        top, left = (
            torch.randint(0, 2 * most + 1, (len(order), 1), generator=chance)
            for most in (recipe.shift_rows, recipe.shift_columns)
        )
    if recipe.flip:
        mirrored = torch.rand(len(order), generator=chance) < 0.5
    return Draw(order, top, left, mirrored)


def augment(pixels: Tensor, recipe: Recipe, draw: Draw) -> Tensor:
    """The images, each shifted and mirrored on its own.

    Shapes: `pixels` and the result n × channels × height × width.
    """
    if draw.top is not None and draw.left is not None:
        pixels = shift(pixels, recipe.shift_rows, recipe.shift_columns, draw.top, draw.left)
    if draw.mirrored is not None:
        pixels = torch.where(draw.mirrored.view(-1, 1, 1, 1), pixels.flip(3), pixels)
    return pixels


def shift(pixels: Tensor, rows: int, columns: int, top: Tensor, left: Tensor) -> Tensor:
    """Each image cut at a place of its own out of itself in a margin of `rows` and `columns` zeros.

    Shapes: `pixels` and the result n × channels × height × width; `top` and `left`, the place, n × 1.
    """
    images, _, height, width = pixels.shape
    image = torch.arange(images, device=pixels.device).view(-1, 1, 1)
    row = torch.arange(height, device=pixels.device) + top
    column = torch.arange(width, device=pixels.device) + left
    framed = pad(pixels, (columns, columns, rows, rows)).permute(0, 2, 3, 1)
    return framed[image, row.unsqueeze(2), column.unsqueeze(1)].permute(0, 3, 1, 2)
