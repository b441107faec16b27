"""The networks of the tables' rows, and the recipes that they are trained by."""

from __future__ import annotations

from collections.abc import Mapping

from cldfc.compilation import Compilation, read_changes
from cldfc.data.catalogue import changed_recipe, find, is_folder
from cldfc.data.data_set import DataSet
from cldfc.library import folder
from cldfc.recipe import Recipe, change_recipe
from cldfc.reproduce.tables import Table, TableRow
from cldfc.syntax.read import read_source

DIGITS = "digits"
"""The data set of the miniatures, unless another one is named."""

DIGITS_WIDTHS = "c = 16, 32, 64, 128"
"""Channels of the miniatures on `digits`, on the four levels: a quarter of the paper's."""

WIDTHS = "c = 8, 16, 32, 64"
"""Channels of the miniatures on other data sets: an eighth of the paper's."""

_EPOCHS = 12

IMAGES = 6_000
"""Training images of these, where there are more; they are tested on all test images."""

_CLASS_FOLDERS = (3, 32, 32)


def find_dataset(name: str) -> DataSet:
    return find(name, _CLASS_FOLDERS if is_folder(name) else None)


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
        defaults["epochs"] = _EPOCHS
        # Of a data set that nobody has counted, too many may be asked for, which is refused where it is read.
        defaults["images"] = IMAGES if not 0 < dataset.images[0] <= IMAGES else None
    return changed_recipe(dataset.recipe, {**defaults, **changes})


def network_of(row: TableRow, dataset: str, is_miniature: bool) -> Compilation:
    """The network of a row for a data set. Raises UsageError when the spec cannot be read."""
    images = find_dataset(dataset)
    lets = (*row.lets, widths_of(dataset)) if is_miniature else row.lets
    changes = read_changes(lets).on(images.name, images.shape, images.classes)
    return Compilation(read_source(folder() / f"{row.spec}.cldf"), changes)
