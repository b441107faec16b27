"""Finds a data set by its name: an entry, images of one's own, random images, or what another distribution brings."""

from __future__ import annotations

import re
from collections.abc import Iterable
from math import prod
from pathlib import Path

from cldfc.diagnostics import UsageError, choices
from cldfc.output import is_unicode
from cldfc.train.data.class_folders import look_at_folder
from cldfc.train.data_set import DataSet, Shape
from cldfc.train.entries import CIFAR, ENTRIES, FOLDER_RECIPE, MEANS, MNIST, STDS, bytes_of
from cldfc.train.plugins import load_plugin, plugin_names
from cldfc.train.recipe import change_recipe

DATA_DIR = Path("data")
"""Where files of data sets are looked for unless the command line names another folder."""

CATALOGUE = {dataset.name: dataset for dataset in ENTRIES}

FAKE = re.compile(r"fake:([1-9]\d{0,4})[x×]([1-9]\d{0,4})[x×]([1-9]\d{0,4}):([1-9]\d{0,4})", re.ASCII)
EXAMPLE_OF_FAKE = "fake:3x32x32:10"
LARGEST_FAKE = 2**20
"""Numbers in a random image."""
FAKE_IMAGES = 1_024, 256
"""Random images to train on, and to test on."""

FOLDER, IDX = "folder:", "idx:"
READERS = {FOLDER: "cldfc.train.data.folder", IDX: "cldfc.train.data.idx"}
"""The readers of images of one's own."""
CLASS_FOLDERS = READERS[FOLDER]


def is_folder(name: str) -> bool:
    """Whether a name means class folders, whose images are made as large as the network's input."""
    return name.startswith(FOLDER)


def is_own(name: str) -> bool:
    """Whether a name means images of one's own, by their path: what is known of them is known by looking."""
    return name.startswith((FOLDER, IDX))


def path_of(name: str) -> str:
    return name.partition(":")[2]


def reader_of(name: str) -> str:
    return READERS[FOLDER if is_folder(name) else IDX]


def names() -> list[str]:
    """The names of all data sets that have one; those of other distributions are not loaded for it."""
    return list(dict.fromkeys((*CATALOGUE, *plugin_names())))


def find(name: str, shape: Shape | None = None) -> DataSet:
    """The data set of that name; raises UsageError when there is none.

    `shape` is that of the network's input, which images in class folders are made to fit.
    """
    if name in CATALOGUE:
        return CATALOGUE[name]
    if is_own(name):
        require_utf8(path_of(name), "folder")
    if is_folder(name):
        return class_folders(name, shape)
    if is_own(name):
        return idx_files(name)
    if name.startswith("fake"):
        return fake(name)
    return plugin(name)


def plugin(name: str) -> DataSet:
    """The data set of another distribution; raises UsageError when there is none, or none that can be used."""
    found = load_plugin(name)
    if found is None:
        if name and Path(name).is_dir():
            raise UsageError(f"there is no data set `{name}`", f"for the folder of that name: `{FOLDER}{name}`")
        own = f"; images of your own are `{FOLDER}PATH` in class folders and `{IDX}PATH` in IDX files"
        known = choices(name, names(), "the data sets are", f"{own}, random ones `{EXAMPLE_OF_FAKE}`")
        raise UsageError(f"there is no data set `{name}`", known)
    if not isinstance(found.value, DataSet):
        raise found.broken(f"`{found.target}` is no cldfc.train.catalogue.DataSet")
    if found.value.name != name:
        raise found.broken(f"the data set calls itself `{found.value.name}`")
    return found.value


def fake(name: str) -> DataSet:
    """The random images that a name such as `fake:3x32x32:10` describes; raises UsageError for another name."""
    described = FAKE.fullmatch(name)
    sizes = [int(size) for size in described.groups()] if described else []
    if not sizes or prod(sizes[:3]) > LARGEST_FAKE:
        help = f"write channels × height × width (at most {LARGEST_FAKE:,}) and classes: `{EXAMPLE_OF_FAKE}`"
        raise UsageError(f"`{name}` describes no random images", help)
    channels, height, width, classes = sizes
    train, test = FAKE_IMAGES
    return DataSet(
        name=name,
        reader="cldfc.train.data.fake",
        shape=(channels, height, width),
        classes=classes,
        images=FAKE_IMAGES,
        mean=bytes_of(0.5) * channels,
        std=bytes_of(12**-0.5) * channels,
        split=f"Random images with random labels, for tests and timing: {train:,} training and {test:,} test images.",
        recipe=change_recipe(CIFAR, {"epochs": 1}),
    )


def require_utf8(name: str, what: str) -> None:
    """Raises UsageError for a name that no record can hold."""
    if "\0" in name:
        raise UsageError(f"`{name}` cannot be the name of a {what}", "leave the NUL out")
    if not is_unicode(name):
        raise UsageError(f"the name of the {what} `{name}` is not UTF-8", "rename it: a run folder records the name")


def class_folders(name: str, shape: Shape | None) -> DataSet:
    """The images in the class folders of `folder:PATH`, as large as the network's input.

    Raises UsageError when there are no such folders, or they hold no data set.
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
        require_utf8(label, "class folder")
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
        has_validation=found.validation_samples is not None,
        fingerprint=found.fingerprint if found.is_drawn else "",
    )


def skipping(dataset: DataSet, names: Iterable[str]) -> DataSet:
    """Class folders of which some images are left out. Raises UsageError when they are not there."""
    skipped = tuple(names)
    if not skipped:
        return dataset
    for path in skipped:
        require_utf8(path, "file")
    found = look_at_folder(path_of(dataset.name)).without(frozenset(skipped))
    return dataset.model_copy(update={"skipped": skipped, "images": found.images, "split": found.split})


def idx_files(name: str) -> DataSet:
    """The images of `idx:PATH`, as they are; their mean and deviation are computed.

    Raises UsageError when there are no such files, or they hold no data set.
    """
    # numpy takes a tenth of a second to import.
    from cldfc.train.data.idx_files import find_idx, measure

    measured = measure(find_idx(path_of(name)))
    return DataSet(
        name=name,
        reader=READERS[IDX],
        shape=measured.shape,
        classes=len(measured.classes),
        class_names=measured.class_names,
        images=measured.images,
        mean=measured.mean,
        std=measured.std,
        split="IDX files of `{}`: {:,} training and {:,} test images.".format(path_of(name), *measured.images),
        recipe=MNIST.recipe,
    )
