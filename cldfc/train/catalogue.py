"""The data sets a network can be trained on: what is known of each without loading it.

A data set is one entry here; the module that its `reader` names reads it.
"""

from __future__ import annotations

import re
from math import prod
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from cldfc.diagnostics import UsageError, did_you_mean
from cldfc.train.data.class_folders import look_at_folder
from cldfc.train.plugins import load_plugin, plugin_names
from cldfc.train.published import CIFAR10_FILES, CIFAR100_FILES, FASHION_MNIST_FILES, MNIST_FILES, DataFile
from cldfc.train.recipe import Recipe, change_recipe

UNKNOWN = 0, 0
"""Numbers of images that nobody has counted."""

DATA_DIR = Path("data")
"""Where files of data sets are looked for unless the command line names another folder."""

Shape = tuple[int, int, int]
"""Channels, height and width of an image, in pixels."""


class DataSet(BaseModel):
    """A set of labelled images, split once and for all into training and test images."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    name: str
    """What the command line calls it."""

    reader: str
    """The dotted name of the module that reads it: its function `load` takes this entry and the data folder, and
    gives the images (`Split`) or where their files are (`ImageFiles`), both of `cldfc.train.images`."""

    shape: Shape
    """Channels, height and width of an image, in pixels."""

    classes: int
    """Number of classes; labels count from 0."""

    class_names: tuple[str, ...] = ()
    """What the classes are called, in their order; without names, by their numbers."""

    images: tuple[int, int]
    """Number of training images, and of test images; UNKNOWN where nobody has counted."""

    mean: tuple[float, ...]
    """Mean of each channel over the training images, in the stored units."""

    std: tuple[float, ...]
    """Standard deviation of each channel over the training images, in the stored units."""

    split: str
    """One sentence saying which images are trained on and which are tested on."""

    recipe: Recipe
    """The recipe that is used unless another one is given."""

    has_validation: bool = False
    """Whether there are images for validation, too."""

    fingerprint: str = ""
    """Of images that chance divides by the names of their files: another one for other files."""

    brightest: float = 255
    """The full brightness in stored units."""

    is_of_paper: bool = False
    """Whether section 5.1 of the paper states the recipe."""

    recipe_of: str = ""
    """The data set of the paper whose recipe this one borrows."""

    files: tuple[DataFile, ...] = ()
    """The published files that must lie in the data folder."""

    folders: tuple[str, ...] = ()
    """The folders of class folders that must lie there."""


def bytes_of(*shares: float) -> tuple[float, ...]:
    """Shares of the full brightness as stored units, of which 255 are full."""
    return tuple(255 * share for share in shares)


FIGURES = tuple("0123456789")

# ImageNet's, of its colours and of their mean: an image file may be of anything.
MEANS = {1: bytes_of(0.449), 3: bytes_of(0.485, 0.456, 0.406)}
STDS = {1: bytes_of(0.226), 3: bytes_of(0.229, 0.224, 0.225)}

# Section 5.1 of the paper; of ResNet34 types the weight decay is another one (`default_recipe`).
PAPER = Recipe(epochs=120, batch=128, lr=0.1, warmup=0, schedule="step", weight_decay=1e-4, clip=None)
CIFAR = change_recipe(PAPER, {"shift_rows": 4, "shift_columns": 4, "flip": True})

# Of few images, and without a clip, both networks that were tried diverged: docs/data.md.
FOLDER_RECIPE = change_recipe(CIFAR, {"batch": 32, "lr": 0.05, "clip": 1.0})

DIGITS = DataSet(
    name="digits",
    reader="cldfc.train.data.digits",
    shape=(1, 8, 8),
    classes=10,
    images=(1_437, 360),
    mean=(4.8861,),
    std=(6.0179,),
    split="The 1,797 handwritten digits of scikit-learn, divided at random (state 0) with "
    "equal shares of each class into 1,437 training and 360 test images.",
    recipe=Recipe(epochs=12, batch=64, lr=0.05, label_smoothing=0.1, shift_columns=1),
    brightest=16,
    class_names=FIGURES,
)

MNIST = DataSet(
    name="mnist",
    reader="cldfc.train.data.mnist",
    shape=(1, 28, 28),
    classes=10,
    images=(60_000, 10_000),
    mean=bytes_of(0.1307),
    std=bytes_of(0.3081),
    split="The 70,000 handwritten digits of MNIST, as published: 60,000 training and 10,000 test images.",
    recipe=change_recipe(PAPER, {"epochs": 60, "shift_rows": 2, "shift_columns": 2}),
    class_names=FIGURES,
    is_of_paper=True,
    files=MNIST_FILES,
)

FASHION_MNIST = DataSet(
    name="fashion_mnist",
    reader="cldfc.train.data.mnist",
    shape=(1, 28, 28),
    classes=10,
    images=(60_000, 10_000),
    mean=bytes_of(0.2860),
    std=bytes_of(0.3530),
    split="The 70,000 images of clothes of Fashion-MNIST, as published: 60,000 training and 10,000 test images.",
    recipe=change_recipe(MNIST.recipe, {"flip": True}),
    class_names=(
        *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
        *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
    ),
    recipe_of="MNIST",
    files=FASHION_MNIST_FILES,
)

CIFAR10 = DataSet(
    name="cifar10",
    reader="cldfc.train.data.cifar",
    shape=(3, 32, 32),
    classes=10,
    images=(50_000, 10_000),
    mean=bytes_of(0.4914, 0.4822, 0.4465),
    std=bytes_of(0.2470, 0.2435, 0.2616),
    split="The 60,000 images of CIFAR-10, as published: 50,000 training and 10,000 test images.",
    recipe=CIFAR,
    class_names=("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
    is_of_paper=True,
    files=CIFAR10_FILES,
)

CIFAR100 = DataSet(
    name="cifar100",
    reader="cldfc.train.data.cifar",
    shape=(3, 32, 32),
    classes=100,
    images=(50_000, 10_000),
    mean=bytes_of(0.5071, 0.4865, 0.4409),
    std=bytes_of(0.2673, 0.2564, 0.2762),
    split="The 60,000 images of CIFAR-100, fine labels, as published: 50,000 training and 10,000 test images.",
    recipe=CIFAR,
    is_of_paper=True,
    files=CIFAR100_FILES,
)

IMAGENET = DataSet(
    name="imagenet",
    reader="cldfc.train.data.imagenet",
    shape=(3, 224, 224),
    classes=1000,
    images=(1_281_167, 50_000),
    mean=MEANS[3],
    std=STDS[3],
    split="ImageNet (ILSVRC 2012) in class folders, trained on `train`, cut and scaled at random, and tested on the "
    "centres of the images of `val`.",
    recipe=change_recipe(PAPER, {"batch": 256, "drop_every": 40, "flip": True}),
    is_of_paper=True,
    folders=("train", "val"),
)

CATALOGUE = {dataset.name: dataset for dataset in (DIGITS, MNIST, FASHION_MNIST, CIFAR10, CIFAR100, IMAGENET)}

FAKE = re.compile(r"fake:([1-9]\d{0,4})[x×]([1-9]\d{0,4})[x×]([1-9]\d{0,4}):([1-9]\d{0,4})", re.ASCII)
EXAMPLE_OF_FAKE = "fake:3x32x32:10"
LARGEST_FAKE = 2**20
"""Numbers in a random image."""
FAKE_IMAGES = 1_024, 256
"""Random images to train on, and to test on."""

CLASS_FOLDERS = "cldfc.train.data.folder"
"""The reader of class folders."""
FOLDER = "folder:"
EXAMPLE_OF_FOLDER = "folder:PATH"


def is_folder(name: str) -> bool:
    """Whether a name means class folders, whose images are made as large as the network's input."""
    return name.startswith(FOLDER)


def names() -> list[str]:
    """The names of all data sets that have one; those of other distributions are not loaded for it."""
    return list(dict.fromkeys((*CATALOGUE, *plugin_names())))


def find(name: str, shape: Shape | None = None) -> DataSet:
    """The data set of that name; raises UsageError when there is none.

    `shape` is that of the network's input, which images in class folders are made to fit.
    """
    if name in CATALOGUE:
        return CATALOGUE[name]
    if is_folder(name):
        return class_folders(name, shape)
    if name.startswith("fake"):
        return fake(name)
    return plugin(name)


def plugin(name: str) -> DataSet:
    """The data set of another distribution; raises UsageError when there is none, or none that can be used."""
    found = load_plugin(name)
    if found is None:
        known = f"the data sets are: {', '.join([*names(), EXAMPLE_OF_FOLDER, EXAMPLE_OF_FAKE])}"
        if name and Path(name).is_dir():
            raise UsageError(f"there is no data set `{name}`", f"for the folder of that name: `{FOLDER}{name}`")
        raise UsageError(f"there is no data set `{name}`", did_you_mean(name, names(), known))
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
    found = look_at_folder(name.removeprefix(FOLDER))
    return DataSet(
        name=name,
        reader=CLASS_FOLDERS,
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
