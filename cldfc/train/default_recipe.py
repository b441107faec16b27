"""The recipe that a network gets on a data set, and where each of its numbers comes from."""

from __future__ import annotations

from collections.abc import Mapping

from cldfc.train.catalogue import DataSet
from cldfc.train.recipe import Recipe, change_recipe

CONVOLUTIONS_34 = 36
"""Those of a ResNet34 type as it is written: the first, two in each of 16 blocks, three projections."""

DECAY_34 = 1e-3
"""Weight decay of ResNet34 types, section 5.1; the catalogue has that of ResNet18 types."""

STATED = {"epochs", "batch", "lr", "schedule", "drop_every", "drop_by", "optimizer", "momentum", "weight_decay"}
"""Fields of which section 5.1 of the paper speaks."""


def default_recipe(dataset: DataSet, convolutions: int) -> Recipe:
    """The recipe of a data set for a network of so many convolutions, counted as they are written.

    Section 5.1 of the paper has one weight decay for ResNet18 types and one for ResNet34 types. A network
    of neither kind gets that of the data set, however deep it is: the paper does not speak of it.
    """
    if (dataset.is_of_paper or dataset.recipe_of) and convolutions == CONVOLUTIONS_34:
        return change_recipe(dataset.recipe, {"weight_decay": DECAY_34})
    return dataset.recipe


def changed_recipe(default: Recipe, changes: Mapping[str, object]) -> Recipe:
    """The default recipe with changes; with other epochs, its learning rate drops in proportion. Raises UsageError."""
    recipe = change_recipe(default, changes)
    return recipe if "drop_every" in changes else in_proportion(default, recipe)


def in_proportion(usual: Recipe, recipe: Recipe) -> Recipe:
    """A recipe that drops the learning rate at the same shares of all epochs as another one, to whole epochs."""
    if usual.schedule != "step":
        return recipe
    every = max(1, round(usual.drop_every * recipe.epochs / usual.epochs))
    return change_recipe(recipe, {"drop_every": every})


def origin_of(name: str, dataset: DataSet, convolutions: int) -> str:
    """Where the value of a field comes from, if nobody has changed it."""
    if not (dataset.is_of_paper or dataset.recipe_of) or name not in STATED:
        is_usual = getattr(dataset.recipe, name) == Recipe.model_fields[name].default
        return "default of cldfc" if is_usual else f"default of {dataset.name}"
    if name != "weight_decay":
        return f"section 5.1 of the paper, for {dataset.recipe_of}" if dataset.recipe_of else "section 5.1 of the paper"
    if convolutions == CONVOLUTIONS_34:
        return f"section 5.1, ResNet34 types: {CONVOLUTIONS_34} convolutions"
    return f"section 5.1, as ResNet18 types: {convolutions} convolutions, not {CONVOLUTIONS_34}"
