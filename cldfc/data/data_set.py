"""What is known of a data set without loading it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Self

from pydantic import BaseModel, Field, model_validator

from cldfc.data.published import DataFile
from cldfc.diagnostics import UsageError, shape_text
from cldfc.recipe import Recipe

UNKNOWN = 0, 0
"""Numbers of images that nobody has counted."""

Shape = tuple[int, int, int]
"""Channels, height and width of an image, in pixels."""


class DataSet(BaseModel, frozen=True, extra="forbid", use_attribute_docstrings=True):
    """A set of labelled images, split once and for all into training and test images."""

    name: str
    """What the command line calls it."""
    reader: str
    """The dotted name of the module that reads it: its function `load` takes this entry and the data folder, and
    gives the images (`Split`) or where their files are (`ImageFiles`), both of `cldfc.data.images`."""
    shape: Shape
    """Channels, height and width of an image, in pixels."""
    classes: int = Field(ge=1)
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
    package: str = ""
    """The package of Debian and Ubuntu that has the files, too."""
    trusted: tuple[str, ...] = ()
    """The SHA-256 of files that are read although they are not the published ones."""
    from_files: bool = False
    """Whether `load` may give ImageFiles: images are then cut to size, also those of `cldfc predict`."""
    skipped: tuple[str, ...] = ()
    """The images of class folders that are left out because they cannot be read, by their paths within the folder."""
    folders: tuple[str, ...] = ()
    """The folders of class folders that must lie there."""

    @model_validator(mode="after")
    def is_of_one_piece(self) -> Self:
        check_description(self.shape, {"mean": self.mean, "std": self.std}, self.class_names, self.classes)
        return self


def check_description(
    shape: Shape, figures: Mapping[str, Sequence[float]], class_names: Sequence[str], classes: int
) -> None:
    """Raises ValueError unless images have pixels, and each channel a finite figure of each name, a `std` above 0.

    Of several classes each has a name, or none has.
    """
    if min(shape) < 1:
        raise ValueError(f"images of {shape_text(shape)} have no pixels")
    for name, values in figures.items():
        if len(values) != shape[0]:
            raise ValueError(f"`{name}` holds {len(values):,} numbers, not {shape[0]:,}: one for each channel")
        if not all(map(math.isfinite, values)):
            raise ValueError(f"`{name}` holds a number that is not finite")
        if name == "std" and min(values) <= 0:
            raise ValueError("`std` holds a number that is not above 0")
    if len(class_names) not in (0, classes):
        raise ValueError(f"there are {classes:,} classes and {len(class_names):,} names of classes")


def trusting(dataset: DataSet, checksums: Iterable[str]) -> DataSet:
    """The same data set, of which files with these SHA-256 are read although they are not the published ones."""
    trusted = tuple(checksums)
    if not trusted:
        return dataset
    named = ", ".join(f"{checksum[:12]}…" for checksum in trusted)
    split = f"Images of `{dataset.name}` from files that are not the published ones and were trusted: SHA-256 {named}."
    return dataset.model_copy(update={"trusted": trusted, "split": split})


def told_of(dataset: DataSet, recipe: Recipe) -> DataSet:
    """The data set, whose sentence on its images says how many of them the recipe uses, if not all."""
    if recipe.images is None:
        return dataset
    used = f"Of the training images {recipe.images:,} are used, drawn once with equal shares of each class."
    return dataset.model_copy(update={"split": f"{dataset.split} {used}"})


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
