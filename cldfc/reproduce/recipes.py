"""What the rows are trained by: the paper's recipe, or a miniature of it."""

from __future__ import annotations

from collections.abc import Mapping

from cldfc.reproduce.tables import Table, TableRow
from cldfc.train.catalogue import DataSet, find, is_folder
from cldfc.train.default_recipe import changed_recipe
from cldfc.train.recipe import Recipe, change_recipe

DIGITS = "digits"
"""The data set of the miniatures, unless another one is named."""

DIGITS_WIDTHS = "c = 16, 32, 64, 128"
"""Channels of the miniatures on `digits`, on the four levels: a quarter of the paper's."""

WIDTHS = "c = 8, 16, 32, 64"
"""Channels of the miniatures on other data sets: an eighth of the paper's."""

EPOCHS = 12

IMAGES = 6_000
"""Training images of these, where there are more; they are tested on all test images."""

CLASS_FOLDERS = (3, 32, 32)


def find_dataset(name: str) -> DataSet:
    return find(name, CLASS_FOLDERS if is_folder(name) else None)


def widths_of(dataset: str) -> str:
    return DIGITS_WIDTHS if dataset == DIGITS else WIDTHS


def recipe_of(table: Table, row: TableRow, name: str, is_miniature: bool, changes: Mapping[str, object]) -> Recipe:
    """The recipe of a row on a data set: that of the paper, with the row's weight decay, where the paper has one.

    A miniature on `digits` has the recipe of `digits`, but for the epochs; on another data set it has fewer epochs
    and images. With other epochs the learning rate drops in proportion. Raises UsageError.
    """
    dataset = find_dataset(name)
    if is_miniature and name == DIGITS:
        return change_recipe(dataset.recipe, {"epochs": table.miniature_epochs, **changes})
    defaults: dict[str, object] = {"weight_decay": row.weight_decay}
    if is_miniature:
        defaults["epochs"] = EPOCHS
        # Of a data set that nobody has counted, too many may be asked for, which is refused where it is read.
        defaults["images"] = IMAGES if not 0 < dataset.images[0] <= IMAGES else None
    return changed_recipe(dataset.recipe, {**defaults, **changes})
