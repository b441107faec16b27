"""The built-in data sets, one entry each; `reader` names the module that reads the images."""

from __future__ import annotations

from cldfc.data.data_set import DataSet
from cldfc.data.published import (
    CIFAR10_FILES,
    CIFAR100_FILES,
    FASHION_MNIST_FILES,
    KMNIST_FILES,
    MNIST_FILES,
    SVHN_FILES,
)
from cldfc.recipe import Recipe, change_recipe


def bytes_of(*shares: float) -> tuple[float, ...]:
    """Convert brightness from the range 0 to 1 into stored units, 0 to 255."""
    return tuple(255 * share for share in shares)


_FIGURES = tuple("0123456789")

# ImageNet's, for RGB and averaged for grey: the content of image files is not known in advance.
MEANS = {1: bytes_of(0.449), 3: bytes_of(0.485, 0.456, 0.406)}
STDS = {1: bytes_of(0.226), 3: bytes_of(0.229, 0.224, 0.225)}

# Section 5.1 of the paper; ResNet34 types have another weight decay (`default_recipe`).
_PAPER = Recipe(epochs=120, batch=128, lr=0.1, warmup=0, schedule="step", weight_decay=1e-4, clip=None)
CIFAR = change_recipe(_PAPER, {"shift_rows": 4, "shift_columns": 4, "flip": True})

# On few images and without gradient clipping, both networks that were tried diverged: docs/data.md.
FOLDER_RECIPE = change_recipe(CIFAR, {"batch": 32, "lr": 0.05, "clip": 1.0})

DIGITS = DataSet(
    name="digits",
    reader="cldfc.data.digits",
    shape=(1, 8, 8),
    classes=10,
    images=(1_437, 360),
    mean=(4.8861,),
    std=(6.0179,),
    split="The 1,797 handwritten digits of scikit-learn, divided at random (state 0) with "
    "equal shares of each class into 1,437 training and 360 test images.",
    recipe=Recipe(epochs=12, batch=64, lr=0.05, label_smoothing=0.1, shift_columns=1),
    brightest=16,
    class_names=_FIGURES,
)

MNIST = DataSet(
    name="mnist",
    reader="cldfc.data.idx",
    shape=(1, 28, 28),
    classes=10,
    images=(60_000, 10_000),
    mean=bytes_of(0.1307),
    std=bytes_of(0.3081),
    split="The 70,000 handwritten digits of MNIST, as published: 60,000 training and 10,000 test images.",
    recipe=change_recipe(_PAPER, {"epochs": 60, "shift_rows": 2, "shift_columns": 2}),
    class_names=_FIGURES,
    is_of_paper=True,
    files=MNIST_FILES,
)

_FASHION_MNIST = DataSet(
    name="fashion_mnist",
    reader="cldfc.data.idx",
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
    package="dataset-fashion-mnist",
)

KMNIST = DataSet(
    name="kmnist",
    reader="cldfc.data.idx",
    shape=(1, 28, 28),
    classes=10,
    images=(60_000, 10_000),
    mean=bytes_of(0.1918),
    std=bytes_of(0.3483),
    split="The 70,000 cursive characters of Kuzushiji-MNIST, as published: 60,000 training and 10,000 test images.",
    recipe=MNIST.recipe,
    class_names=("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"),
    recipe_of="MNIST",
    files=KMNIST_FILES,
)

SVHN = DataSet(
    name="svhn",
    reader="cldfc.data.svhn",
    shape=(3, 32, 32),
    classes=10,
    images=(73_257, 26_032),
    mean=bytes_of(0.4377, 0.4438, 0.4728),
    std=bytes_of(0.1980, 0.2010, 0.1970),
    split="The house numbers of SVHN, cropped to digits, as published: 73,257 training and 26,032 test images; the "
    "531,131 extra ones are left out.",
    # Large shifts would bring neighbouring digits into view; a mirrored digit is a different one, or none.
    recipe=change_recipe(_PAPER, {"shift_rows": 2, "shift_columns": 2}),
    class_names=_FIGURES,
    recipe_of="CIFAR",
    files=SVHN_FILES,
)

CIFAR10 = DataSet(
    name="cifar10",
    reader="cldfc.data.cifar",
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
    reader="cldfc.data.cifar",
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
    reader="cldfc.data.imagenet",
    from_files=True,
    shape=(3, 224, 224),
    classes=1000,
    images=(1_281_167, 50_000),
    mean=MEANS[3],
    std=STDS[3],
    split="ImageNet (ILSVRC 2012) in class folders, trained on `train`, cut and scaled at random, and tested on the "
    "centres of the images of `val`.",
    recipe=change_recipe(_PAPER, {"batch": 256, "drop_every": 40, "flip": True}),
    is_of_paper=True,
    folders=("train", "val"),
)

ENTRIES = (DIGITS, MNIST, _FASHION_MNIST, KMNIST, SVHN, CIFAR10, CIFAR100, IMAGENET)
