"""The data sets a network can be trained on: what is known of each without loading it.

A data set is one entry here; the file of `cldfc/train/data` that `reader` names reads it.
"""

from __future__ import annotations

import re
from math import prod
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from cldfc.diagnostics import UsageError, did_you_mean
from cldfc.train.recipe import Recipe, change_recipe

DATA_DIR = Path("data")
"""Where files of data sets are looked for unless the command line names another folder."""


class DataFile(BaseModel):
    """A file of a data set, as it is published."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    name: str
    """Its place in the data folder."""

    url: str
    """Where it is published."""

    sha256: str
    """The SHA-256 of its bytes, as 64 hexadecimal digits."""


class DataSet(BaseModel):
    """A set of labelled images, split once and for all into training and test images."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    name: str
    """What the command line calls it."""

    reader: Literal["digits", "mnist", "cifar", "imagenet", "fake"]
    """The file of `cldfc/train/data` that reads it."""

    shape: tuple[int, int, int]
    """Channels, height and width of an image, in pixels."""

    classes: int
    """Number of classes; labels count from 0."""

    mean: tuple[float, ...]
    """Mean of each channel over the training images, in the stored units."""

    std: tuple[float, ...]
    """Standard deviation of each channel over the training images, in the stored units."""

    split: str
    """One sentence saying which images are trained on and which are tested on."""

    recipe: Recipe
    """The recipe that is used unless another one is given."""

    brightest: float = 255
    """The full brightness in stored units."""

    class_names: tuple[str, ...] = ()
    """What the classes are called, in their order; without names, by their numbers."""

    files: tuple[DataFile, ...] = ()
    """The published files that must lie in the data folder."""

    folders: tuple[str, ...] = ()
    """The folders that must lie there."""


def bytes_of(*shares: float) -> tuple[float, ...]:
    """Shares of the full brightness as stored units, of which 255 are full."""
    return tuple(255 * share for share in shares)


FIGURES = tuple("0123456789")

# Section 5.1 of the paper, for ResNet18 types; for ResNet34 types the weight decay is 1e-3.
PAPER = Recipe(epochs=120, batch=128, lr=0.1, warmup=0, schedule="step", weight_decay=1e-4, clip=None)
CIFAR = change_recipe(PAPER, {"shift_rows": 4, "shift_columns": 4, "flip": True})

DIGITS = DataSet(
    name="digits",
    reader="digits",
    shape=(1, 8, 8),
    classes=10,
    mean=(4.8861,),
    std=(6.0179,),
    split="The 1,797 handwritten digits of scikit-learn, divided at random (state 0) with "
    "equal shares of each class into 1,437 training and 360 test images.",
    recipe=Recipe(epochs=8, batch=64, lr=0.05, label_smoothing=0.1, shift_columns=1),
    brightest=16,
    class_names=FIGURES,
)

MNIST_SHA256 = {
    "train-images-idx3-ubyte.gz": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    "train-labels-idx1-ubyte.gz": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    "t10k-images-idx3-ubyte.gz": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    "t10k-labels-idx1-ubyte.gz": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
}

MNIST = DataSet(
    name="mnist",
    reader="mnist",
    shape=(1, 28, 28),
    classes=10,
    mean=bytes_of(0.1307),
    std=bytes_of(0.3081),
    split="The 70,000 handwritten digits of MNIST, as published: 60,000 training and 10,000 test images.",
    recipe=change_recipe(PAPER, {"epochs": 60, "shift_rows": 2, "shift_columns": 2}),
    class_names=FIGURES,
    files=tuple(
        DataFile(name=f"MNIST/raw/{name}", url=f"https://ossci-datasets.s3.amazonaws.com/mnist/{name}", sha256=sha256)
        for name, sha256 in MNIST_SHA256.items()
    ),
)

CIFAR10 = DataSet(
    name="cifar10",
    reader="cifar",
    shape=(3, 32, 32),
    classes=10,
    mean=bytes_of(0.4914, 0.4822, 0.4465),
    std=bytes_of(0.2470, 0.2435, 0.2616),
    split="The 60,000 images of CIFAR-10, as published: 50,000 training and 10,000 test images.",
    recipe=CIFAR,
    class_names=("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
    files=(
        DataFile(
            name="cifar-10-python.tar.gz",
            url="https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
            sha256="6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
        ),
    ),
)

CIFAR100 = DataSet(
    name="cifar100",
    reader="cifar",
    shape=(3, 32, 32),
    classes=100,
    mean=bytes_of(0.5071, 0.4865, 0.4409),
    std=bytes_of(0.2673, 0.2564, 0.2762),
    split="The 60,000 images of CIFAR-100, fine labels, as published: 50,000 training and 10,000 test images.",
    recipe=CIFAR,
    files=(
        DataFile(
            name="cifar-100-python.tar.gz",
            url="https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz",
            sha256="85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7",
        ),
    ),
)

IMAGENET = DataSet(
    name="imagenet",
    reader="imagenet",
    shape=(3, 224, 224),
    classes=1000,
    mean=bytes_of(0.485, 0.456, 0.406),
    std=bytes_of(0.229, 0.224, 0.225),
    split="ImageNet (ILSVRC 2012) in class folders, trained on `train`, cut and scaled at random, and tested on the "
    "centres of the images of `val`.",
    recipe=change_recipe(PAPER, {"batch": 256, "drop_every": 40, "flip": True}),
    folders=("train", "val"),
)

CATALOGUE = {dataset.name: dataset for dataset in (DIGITS, MNIST, CIFAR10, CIFAR100, IMAGENET)}

FAKE = re.compile(r"fake:([1-9]\d{0,4})[x×]([1-9]\d{0,4})[x×]([1-9]\d{0,4}):([1-9]\d{0,4})", re.ASCII)
EXAMPLE_OF_FAKE = "fake:3x32x32:10"
LARGEST_FAKE = 2**20
"""Numbers in a random image."""


def find(name: str) -> DataSet:
    """The data set of that name; raises UsageError when there is none."""
    if name.startswith("fake"):
        return fake(name)
    if name not in CATALOGUE:
        known = f"the data sets are: {', '.join(CATALOGUE)}, {EXAMPLE_OF_FAKE}"
        raise UsageError(f"there is no data set `{name}`", did_you_mean(name, CATALOGUE, known))
    return CATALOGUE[name]


def fake(name: str) -> DataSet:
    """The random images that a name such as `fake:3x32x32:10` describes; raises UsageError for another name."""
    described = FAKE.fullmatch(name)
    sizes = [int(size) for size in described.groups()] if described else []
    if not sizes or prod(sizes[:3]) > LARGEST_FAKE:
        help = f"write channels × height × width (at most {LARGEST_FAKE:,}) and classes: `{EXAMPLE_OF_FAKE}`"
        raise UsageError(f"`{name}` describes no random images", help)
    channels, height, width, classes = sizes
    return DataSet(
        name=name,
        reader="fake",
        shape=(channels, height, width),
        classes=classes,
        mean=bytes_of(0.5) * channels,
        std=bytes_of(12**-0.5) * channels,
        split="Random images with random labels, for tests and timing: 1,024 training and 256 test images.",
        recipe=change_recipe(CIFAR, {"epochs": 1}),
    )
