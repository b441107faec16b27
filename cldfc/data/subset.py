"""Selects training images if a recipe asks for fewer than there are."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Generator, Tensor

from cldfc.data.data_set import DataSet, check_used
from cldfc.data.images import ImageFiles, Split
from cldfc.recipe import Recipe


def used_for_training(found: Split | ImageFiles, dataset: DataSet, recipe: Recipe) -> Split | ImageFiles:
    """The images of a data set, with only as many training images as the recipe uses.

    Raises UsageError if there are fewer of them, or more classes.
    """
    if recipe.images is None:
        return found
    check_used(recipe.images, len(found.train), dataset)
    if isinstance(found, Split):
        return replace(found, train=found.train[draw_stratified(found.train.labels, recipe.images)])
    numbers = draw_stratified(torch.tensor([sample.label for sample in found.train]), recipe.images)
    return replace(found, train=[found.train[int(number)] for number in numbers])


def draw_stratified(labels: Tensor, count: int) -> Tensor:
    """The numbers of `count` images in ascending order; each class has its share, to within one image.

    Three of `a a a a b b` are two `a` and one `b`. Every call gives the same result, and a smaller draw is a subset of
    a larger one. Shapes: `labels` n, result `count`.
    """
    order = torch.randperm(len(labels), generator=Generator().manual_seed(0))
    shuffled = labels[order]
    sizes = torch.bincount(shuffled)
    by_class = shuffled.argsort(stable=True)
    rank = torch.empty_like(by_class)
    rank[by_class] = torch.arange(len(labels)) - (sizes.cumsum(0) - sizes)[shuffled[by_class]]
    # The relative position of each image within its class, between 0 and 1.
    place = (rank + 0.5) / sizes[shuffled]
    return order[place.argsort(stable=True)[:count]].sort().values
