"""Which of the training images are used, where a recipe asks for fewer than there are."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Generator, Tensor

from cldfc.data.data_set import DataSet, check_used
from cldfc.data.images import ImageFiles, Split
from cldfc.recipe import Recipe


def used_for_training(found: Split | ImageFiles, dataset: DataSet, recipe: Recipe) -> Split | ImageFiles:
    """The images of a data set, of those to train on only as many as the recipe uses.

    Raises UsageError when there are fewer, or more classes.
    """
    if recipe.images is None:
        return found
    check_used(recipe.images, len(found.train), dataset)
    if isinstance(found, Split):
        return replace(found, train=found.train[draw_stratified(found.train.labels, recipe.images)])
    numbers = draw_stratified(torch.tensor([sample.label for sample in found.train]), recipe.images)
    return replace(found, train=[found.train[int(number)] for number in numbers])


def draw_stratified(labels: Tensor, count: int) -> Tensor:
    """The numbers of `count` images in ascending order: of each class its share, to within one image.

    Three of `a a a a b b` are two `a` and a `b`. The same at each call; of two draws the smaller one is part of the
    larger one. Shapes: `labels` n, result `count`.
    """
    order = torch.randperm(len(labels), generator=Generator().manual_seed(0))
    shuffled = labels[order]
    sizes = torch.bincount(shuffled)
    by_class = shuffled.argsort(stable=True)
    rank = torch.empty_like(by_class)
    rank[by_class] = torch.arange(len(labels)) - (sizes.cumsum(0) - sizes)[shuffled[by_class]]
    # The middle of each image's place in its class, from 0 to 1.
    place = (rank + 0.5) / sizes[shuffled]
    return order[place.argsort(stable=True)[:count]].sort().values
