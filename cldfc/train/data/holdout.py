"""The part of the training images that a recipe keeps for validation."""

from __future__ import annotations

from collections.abc import Sequence

from cldfc.diagnostics import UsageError
from cldfc.train.catalogue import DataSet, is_folder, is_own, path_of
from cldfc.train.data.class_folders import look_at_folder
from cldfc.train.data.idx_files import find_idx, measure
from cldfc.train.data.stratify import draw_part
from cldfc.train.recipe import Recipe


def check_validation(dataset: DataSet, recipe: Recipe) -> None:
    """Raises UsageError for a hold-out beside images for validation, and for patience without any."""
    if recipe.holdout and dataset.has_validation:
        raise UsageError(
            f"`{dataset.name}` has images for validation already, so none are held out", "leave `--holdout` out"
        )
    if recipe.patience and not (recipe.holdout or dataset.has_validation):
        raise UsageError(
            f"`--patience` looks at images for validation, and there are none in `{dataset.name}`",
            "give `--holdout 0.1`, too: a tenth of the training images is then kept for validation",
        )


def with_holdout(dataset: DataSet, recipe: Recipe) -> DataSet:
    """A data set that says which of its training images a recipe keeps for validation."""
    if not recipe.holdout:
        return dataset
    whole, share = "them" if recipe.images else "the training images", f"{100 * recipe.holdout:g} %"
    sentence = f"Of {whole} {share} of each class, drawn at random (seed {recipe.seed}), are for validation."
    changes = {"split": f"{dataset.split} {sentence}"}
    if is_folder(dataset.name):
        changes["fingerprint"] = look_at_folder(path_of(dataset.name)).fingerprint
    elif is_own(dataset.name):
        changes["fingerprint"] = measure(find_idx(path_of(dataset.name))).fingerprint
    return dataset.model_copy(update=changes)


def held_out(labels: Sequence[int], dataset: DataSet, recipe: Recipe) -> list[int]:
    """The numbers of the training images, of these classes, that are kept for validation. Raises UsageError."""
    names = dataset.class_names or tuple(map(str, range(dataset.classes)))
    return draw_part(labels, names, recipe.holdout, recipe.seed, f"the training images of `{dataset.name}`")


def count_training_images(dataset: DataSet, recipe: Recipe) -> int:
    """How many images there are to train on, without reading any; raises UsageError when none can be held out.

    Other classes than those of folders, and where only some images are used, are taken to be large enough for it.
    """
    count = recipe.images or dataset.images[0]
    if not recipe.holdout or not count:
        return count
    if is_folder(dataset.name) and not recipe.images:
        samples = look_at_folder(path_of(dataset.name)).without(frozenset(dataset.skipped)).train_samples
        return count - len(held_out([sample.label for sample in samples], dataset, recipe))
    return count - max(round(recipe.holdout * count), dataset.classes)
