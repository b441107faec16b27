"""The batches of an epoch: order and augmentation, a pure function of (seed, epoch)."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Generator, Tensor
from torch.nn.functional import pad

from cldfc.train.images import Images
from cldfc.train.recipe import EPOCH_LIMIT, Recipe


def steps_per_epoch(images: int, recipe: Recipe) -> int:
    """Number of batches in an epoch; one smaller batch where the images fill none."""
    return max(1, images // recipe.batch)


def epoch_batches(images: Images, recipe: Recipe, epoch: int) -> Iterator[Images]:
    """The shuffled and augmented batches of an epoch, counted from 1.

    All are of one size, so batch norm never meets a batch of one; the images left over, other
    ones in every epoch, are not shown. Everything random is drawn on the CPU: the draws do not
    depend on the device.
    """
    draw = Generator().manual_seed(recipe.seed * EPOCH_LIMIT + epoch)
    order = torch.randperm(len(images), generator=draw).to(images.labels.device)
    for step in range(steps_per_epoch(len(images), recipe)):
        batch = images[order[step * recipe.batch : (step + 1) * recipe.batch]]
        yield Images(augment(batch.pixels, recipe, draw), batch.labels)


def augment(pixels: Tensor, recipe: Recipe, draw: Generator) -> Tensor:
    """The images as the recipe shifts and mirrors them, each on its own.

    Shapes: `pixels` and the result n × channels × height × width.
    """
    if recipe.shift_rows or recipe.shift_columns:
        pixels = shift(pixels, recipe.shift_rows, recipe.shift_columns, draw)
    if recipe.flip:
        mirrored = torch.rand(len(pixels), generator=draw).to(pixels.device) < 0.5
        pixels = torch.where(mirrored.view(-1, 1, 1, 1), pixels.flip(3), pixels)
    return pixels


def shift(pixels: Tensor, rows: int, columns: int, draw: Generator) -> Tensor:
    """Each image cut at a place of its own out of itself in a margin of `rows` and `columns` zeros.

    Shapes: `pixels` and the result n × channels × height × width.
    """
    images, _, height, width = pixels.shape
    top, left = (
        torch.randint(0, 2 * most + 1, (images, 1), generator=draw).to(pixels.device) for most in (rows, columns)
    )
    image = torch.arange(images, device=pixels.device).view(-1, 1, 1)
    row = torch.arange(height, device=pixels.device) + top
    column = torch.arange(width, device=pixels.device) + left
    framed = pad(pixels, (columns, columns, rows, rows)).permute(0, 2, 3, 1)
    return framed[image, row.unsqueeze(2), column.unsqueeze(1)].permute(0, 3, 1, 2)
