"""Looks up a data set by name, and the default recipe for a network on it."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import entry_points
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from cldfc.data.class_folders import draw_part, look_at_folder
from cldfc.data.data_set import DataSet, Shape
from cldfc.data.entries import CIFAR, ENTRIES, FOLDER_RECIPE, MEANS, MNIST, STDS, bytes_of
from cldfc.diagnostics import UsageError, choices, first_error
from cldfc.output import is_unicode
from cldfc.recipe import Recipe, change_recipe

if TYPE_CHECKING:
    from cldfc.data.idx_files import Measured

_GROUP = "cldfc.data_sets"

_LONGEST_REASON = 300
"""Characters shown of an error raised by a plugin or a reader."""


def plugin_names() -> list[str]:
    """The names of all plugin data sets, sorted; no plugin is loaded."""
    return sorted({point.name for point in entry_points(group=_GROUP)})


def in_one_line(error: BaseException) -> str:
    return textwrap.shorten(f"{type(error).__name__}: {error}", _LONGEST_REASON, placeholder=" …")


DATA_DIR = Path("data")
"""The folder of published files, unless `--data-dir` names another one."""

CATALOGUE = {dataset.name: dataset for dataset in ENTRIES}

_FAKE = re.compile(r"fake:([1-9]\d{0,4})[x×]([1-9]\d{0,4})[x×]([1-9]\d{0,4}):([1-9]\d{0,4})", re.ASCII)
_EXAMPLE_OF_FAKE = "fake:3x32x32:10"
_LARGEST_FAKE = 2**20
"""Largest product of channels, height and width of a random image."""
FAKE_IMAGES = 1_024, 256
"""Number of random training images, and of random test images."""

FOLDER, IDX = "folder:", "idx:"
CLASS_FOLDERS = "cldfc.data.folder"


def is_folder(name: str) -> bool:
    """Whether a name is `folder:PATH`: class folders, whose images are resized to the network's input."""
    return name.startswith(FOLDER)


def is_own(name: str) -> bool:
    """Whether a name gives the path of the user's own images: `folder:PATH` or `idx:PATH`."""
    return name.startswith((FOLDER, IDX))


def path_of(name: str) -> str:
    return name.partition(":")[2]


def reader_of(name: str) -> str:
    """The module that reads `folder:PATH` or `idx:PATH`."""
    return CLASS_FOLDERS if is_folder(name) else "cldfc.data.idx"


def names() -> list[str]:
    """The names of the built-in data sets and of plugins; no plugin is loaded."""
    return list(dict.fromkeys((*CATALOGUE, *plugin_names())))


def find(name: str, shape: Shape | None = None) -> DataSet:
    """The data set of that name. Raises UsageError if there is none.

    `shape` is the shape of the network's input, to which images in class folders are resized.
    """
    if name in CATALOGUE:
        return CATALOGUE[name]
    if is_own(name):
        _require_utf8(path_of(name), "folder")
    if is_folder(name):
        return _class_folders(name, shape)
    if is_own(name):
        return _idx_files(name)
    if name.startswith("fake"):
        return _fake(name)
    return _plugin(name)


def _plugin(name: str) -> DataSet:
    """The data set of a plugin. Raises UsageError if no plugin has it, several do, or it is not valid."""
    points = list(entry_points(group=_GROUP, name=name))
    if not points:
        if name and Path(name).is_dir():
            raise UsageError(f"there is no data set `{name}`", f"for the folder of that name: `{FOLDER}{name}`")
        own = f"; images of your own are `{FOLDER}PATH` in class folders and `{IDX}PATH` in IDX files"
        known = choices(name, names(), "the data sets are", f"{own}, random ones `{_EXAMPLE_OF_FAKE}`")
        raise UsageError(f"there is no data set `{name}`", known)
    found = {(point.dist.name if point.dist else "unknown", point.value) for point in points}
    if len(found) > 1:
        others = " and ".join(sorted({f"`{distribution}`" for distribution, _ in found}))
        raise UsageError(f"several data sets are called `{name}`: they come with {others}", "uninstall all but one")
    ((distribution, target),) = found

    def broken(reason: str) -> UsageError:
        return UsageError(
            f"the data set `{name}` of the distribution `{distribution}` cannot be used: {reason}",
            f"fix it, or remove it: `pip uninstall {distribution}`",
        )

    try:
        dataset: object = points[0].load()
    except ValidationError as error:
        field, _, reason = first_error(error)
        raise broken(f"`{target}`{field and f': `{field}`'}: {reason}") from error
    except (Exception, SystemExit) as error:
        raise broken(f"`{target}` cannot be loaded: {in_one_line(error)}") from error
    if not isinstance(dataset, DataSet):
        raise broken(f"`{target}` is not a cldfc.data.catalogue.DataSet")
    if dataset.name != name:
        raise broken(f"the data set calls itself `{dataset.name}`")
    return dataset


def _fake(name: str) -> DataSet:
    """The random images that a name such as `fake:3x32x32:10` describes. Raises UsageError for any other name."""
    described = _FAKE.fullmatch(name)
    sizes = [int(size) for size in described.groups()] if described else []
    if not sizes or prod(sizes[:3]) > _LARGEST_FAKE:
        help = f"write channels × height × width (at most {_LARGEST_FAKE:,}) and classes: `{_EXAMPLE_OF_FAKE}`"
        raise UsageError(f"`{name}` describes no random images", help)
    channels, height, width, classes = sizes
    train, test = FAKE_IMAGES
    return DataSet(
        name=name,
        reader="cldfc.data.fake",
        shape=(channels, height, width),
        classes=classes,
        images=FAKE_IMAGES,
        mean=bytes_of(0.5) * channels,
        std=bytes_of(12**-0.5) * channels,
        split=f"Random images with random labels, for tests and timing: {train:,} training and {test:,} test images.",
        recipe=change_recipe(CIFAR, {"epochs": 1}),
    )


def _require_utf8(name: str, what: str) -> None:
    """Raises UsageError for a name that a run folder cannot record: one that is not UTF-8, or has a NUL in it."""
    if "\0" in name:
        raise UsageError(f"`{name}` cannot be the name of a {what}", "leave the NUL out")
    if not is_unicode(name):
        raise UsageError(f"the name of the {what} `{name}` is not UTF-8", "rename it: a run folder records the name")


def _class_folders(name: str, shape: Shape | None) -> DataSet:
    """The class folders of `folder:PATH`, with images of the network's input shape.

    Raises UsageError if there are no class folders, or they do not form a data set.
    """
    if shape is None:
        raise UsageError(f"the images of `{name}` have no size of their own", "name a data set that has one")
    channels = shape[0]
    if channels not in MEANS:
        raise UsageError(
            f"images from files have 1 or 3 channels, and the network wants {channels}",
            "change its input, for instance by `--input 3x32x32`",
        )
    found = look_at_folder(path_of(name))
    for label in found.classes:
        _require_utf8(label, "class folder")
    return DataSet(
        name=name,
        reader=CLASS_FOLDERS,
        from_files=True,
        shape=shape,
        classes=len(found.classes),
        class_names=found.classes,
        images=found.images,
        mean=MEANS[channels],
        std=STDS[channels],
        split=found.split,
        recipe=FOLDER_RECIPE,
        has_validation=bool(found.validation),
        fingerprint=found.fingerprint if found.is_drawn else "",
    )


def skipping(dataset: DataSet, names: Iterable[str]) -> DataSet:
    """Class folders without some images, given by their paths within the folder.

    Raises UsageError if a path is not UTF-8, the folder cannot be read, or a class has no images left.
    """
    skipped = tuple(names)
    if not skipped:
        return dataset
    for path in skipped:
        _require_utf8(path, "file")
    found = look_at_folder(path_of(dataset.name)).without(frozenset(skipped))
    return dataset.model_copy(update={"skipped": skipped, "images": found.images, "split": found.split})


def _idx_files(name: str) -> DataSet:
    """The images of `idx:PATH` in their stored size; mean and standard deviation are computed.

    Raises UsageError if the files are missing, or do not form a data set.
    """
    measured = measured_idx(name)
    return DataSet(
        name=name,
        reader=reader_of(name),
        shape=measured.shape,
        classes=len(measured.classes),
        class_names=measured.class_names,
        images=measured.images,
        mean=measured.mean,
        std=measured.std,
        split="IDX files of `{}`: {:,} training and {:,} test images.".format(path_of(name), *measured.images),
        recipe=MNIST.recipe,
    )


def measured_idx(name: str) -> Measured:
    """Sizes, classes and statistics of the images of `idx:PATH`. Raises UsageError."""
    # numpy takes a tenth of a second to import.
    from cldfc.data.idx_files import measure

    return measure(path_of(name))


def check_validation(dataset: DataSet, recipe: Recipe) -> None:
    """Raises UsageError for a hold-out from a data set with validation images, and for patience without any."""
    if recipe.holdout and dataset.has_validation:
        raise UsageError(
            f"`{dataset.name}` already has validation images, so none are held out", "leave `--holdout` out"
        )
    if recipe.patience and not (recipe.holdout or dataset.has_validation):
        raise UsageError(
            f"`--patience` needs validation images, and `{dataset.name}` has none",
            "add `--holdout 0.1` to hold out a tenth of the training images for validation",
        )


def with_holdout(dataset: DataSet, recipe: Recipe) -> DataSet:
    """The data set with the recipe's hold-out stated in `split`; the user's own images also get a fingerprint."""
    if not recipe.holdout:
        return dataset
    whole, share = "them" if recipe.images else "the training images", f"{100 * recipe.holdout:g} %"
    sentence = f"Of {whole} {share} of each class, drawn at random (seed {recipe.seed}), are for validation."
    changes = {"split": f"{dataset.split} {sentence}"}
    if is_folder(dataset.name):
        changes["fingerprint"] = look_at_folder(path_of(dataset.name)).fingerprint
    elif is_own(dataset.name):
        changes["fingerprint"] = measured_idx(dataset.name).fingerprint
    return dataset.model_copy(update=changes)


def held_out(labels: Sequence[int], dataset: DataSet, recipe: Recipe) -> list[int]:
    """The numbers of the training images held out for validation; `labels` gives their classes. Raises UsageError."""
    names = dataset.class_names or tuple(map(str, range(dataset.classes)))
    return draw_part(labels, names, recipe.holdout, recipe.seed, f"the training images of `{dataset.name}`")


def count_training_images(dataset: DataSet, recipe: Recipe) -> int:
    """Number of training images after the hold-out, found without reading any image.

    Exact for class folders of which all images are used; elsewhere every class is assumed to be large enough to be
    divided. Raises UsageError if a class in a folder is not.
    """
    count = recipe.images or dataset.images[0]
    if not recipe.holdout or not count:
        return count
    if is_folder(dataset.name) and not recipe.images:
        samples = look_at_folder(path_of(dataset.name)).without(frozenset(dataset.skipped)).train
        return count - len(held_out([sample.label for sample in samples], dataset, recipe))
    return count - max(round(recipe.holdout * count), dataset.classes)


_CONVOLUTIONS_34 = 36
"""Convolutions of a ResNet34 type as written: the first, two in each of 16 blocks, and three projections."""

_DECAY_34 = 1e-3
"""Weight decay of ResNet34 types, section 5.1 of the paper; the catalogue has that of ResNet18 types."""

_STATED = {"epochs", "batch", "lr", "schedule", "drop_every", "drop_by", "optimizer", "momentum", "weight_decay"}
"""Fields that section 5.1 of the paper specifies."""


def default_recipe(dataset: DataSet, convolutions: int) -> Recipe:
    """The recipe of a data set for a network with this number of convolutions, counted as written.

    Section 5.1 of the paper has one weight decay for ResNet18 types and one for ResNet34 types. Any other network,
    however deep, gets that of the data set: the paper says nothing about it.
    """
    if (dataset.is_of_paper or dataset.recipe_of) and convolutions == _CONVOLUTIONS_34:
        return change_recipe(dataset.recipe, {"weight_decay": _DECAY_34})
    return dataset.recipe


def changed_recipe(default: Recipe, changes: Mapping[str, object]) -> Recipe:
    """The default recipe with changes. Raises UsageError.

    If the default schedule is `step`, `drop_every` scales with the number of epochs unless it is changed itself.
    """
    recipe = change_recipe(default, changes)
    if "drop_every" in changes or default.schedule != "step":
        return recipe
    return change_recipe(recipe, {"drop_every": max(1, round(default.drop_every * recipe.epochs / default.epochs))})


def origin_of(name: str, dataset: DataSet, convolutions: int) -> str:
    """Where the default value of a recipe field comes from."""
    if not (dataset.is_of_paper or dataset.recipe_of) or name not in _STATED:
        is_usual = getattr(dataset.recipe, name) == Recipe.model_fields[name].default
        return "default of cldfc" if is_usual else f"default of {dataset.name}"
    if name != "weight_decay":
        return f"section 5.1 of the paper, for {dataset.recipe_of}" if dataset.recipe_of else "section 5.1 of the paper"
    if convolutions == _CONVOLUTIONS_34:
        return f"section 5.1, ResNet34 types: {_CONVOLUTIONS_34} convolutions"
    return f"section 5.1, as ResNet18 types: {convolutions} convolutions, not {_CONVOLUTIONS_34}"
