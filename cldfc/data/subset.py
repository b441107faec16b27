"""Which of the training images are used, where a recipe asks for fewer than there are."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Generator, Tensor

from cldfc.data.data_set import DataSet
from cldfc.data.images import ImageFiles, Split
from cldfc.diagnostics import UsageError
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


def told_of(dataset: DataSet, recipe: Recipe) -> DataSet:
    """The data set, whose sentence on its images says how many of them the recipe uses, if not all."""
    if recipe.images is None:
        return dataset
    used = f"Of the training images {recipe.images:,} are used, drawn once with equal shares of each class."
    return dataset.model_copy(update={"split": f"{dataset.split} {used}"})


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


def check_used(wanted: int, there: int, dataset: DataSet) -> None:
    """Raises UsageError when fewer images are there to train on than are wanted, or fewer are wanted than classes."""
    if wanted > there:
        raise UsageError(
            f"recipe: `images` is {wanted:,}, but `{dataset.name}` has {there:,} images to train on",
            "write a smaller number, or leave `images` out to use them all",
        )
    if wanted < dataset.classes:
        raise UsageError(
            f"recipe: `images` is {wanted:,}, but `{dataset.name}` has {dataset.classes:,} classes",
            "write a number that has room for an image of each class",
        )
