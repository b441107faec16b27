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
"""Image counts that are not known."""

Shape = tuple[int, int, int]
"""Channels, height and width of an image, in pixels."""


class DataSet(BaseModel, frozen=True, extra="forbid"):
    """A set of labelled images with a fixed split into training and test images."""

    name: str
    """Its name on the command line, as in `--data NAME`."""
    reader: str
    """The dotted name of the module that reads it. Its function `load` takes this entry and the data folder, and
    returns the images (`Split`) or their files (`ImageFiles`), both of `cldfc.data.images`."""
    shape: Shape
    """Channels, height and width of an image, in pixels."""
    classes: int = Field(ge=1)
    """Number of classes; labels count from 0."""
    class_names: tuple[str, ...] = ()
    """Class names in the order of the labels; if empty, the labels themselves are the names."""
    images: tuple[int, int]
    """Number of training images, and of test images; UNKNOWN if they have not been counted."""
    mean: tuple[float, ...]
    """Mean of each channel over the training images, in stored units."""
    std: tuple[float, ...]
    """Standard deviation of each channel over the training images, in stored units."""
    split: str
    """One sentence that says which images are for training and which for testing."""
    recipe: Recipe
    """The default recipe."""
    has_validation: bool = False
    """Whether it comes with validation images."""
    fingerprint: str = ""
    """A hash of what a random split was drawn from, which changes when the draw would; empty for other splits."""
    brightest: float = 255
    """Full brightness in stored units."""
    is_of_paper: bool = False
    """Whether the recipe is that of section 5.1 of the paper."""
    recipe_of: str = ""
    """The data set of the paper whose recipe this one borrows."""
    files: tuple[DataFile, ...] = ()
    """The published files, which must be in the data folder."""
    package: str = ""
    """The Debian and Ubuntu package that also has the files."""
    trusted: tuple[str, ...] = ()
    """SHA-256 of files that are accepted although they are not the published ones."""
    from_files: bool = False
    """Whether `load` may return ImageFiles; images, also those of `cldfc predict`, are then cropped and resized."""
    skipped: tuple[str, ...] = ()
    """Unreadable images of class folders, which are left out, by their paths within the folder."""
    folders: tuple[str, ...] = ()
    """Subfolders that the data folder must have, each with a folder for every class."""

    @model_validator(mode="after")
    def is_of_one_piece(self) -> Self:
        check_description(self.shape, {"mean": self.mean, "std": self.std}, self.class_names, self.classes)
        return self


def check_description(
    shape: Shape, figures: Mapping[str, Sequence[float]], class_names: Sequence[str], classes: int
) -> None:
    """Raises ValueError for images without pixels, or a wrong number of figures or class names.

    Each of `figures` needs one finite value per channel, positive for `std`; class names are all given, or none.
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
    """The data set, with files of these SHA-256 accepted although they are not the published ones."""
    trusted = tuple(checksums)
    if not trusted:
        return dataset
    named = ", ".join(f"{checksum[:12]}…" for checksum in trusted)
    split = f"Images of `{dataset.name}` from files that are not the published ones and were trusted: SHA-256 {named}."
    return dataset.model_copy(update={"trusted": trusted, "split": split})


def told_of(dataset: DataSet, recipe: Recipe) -> DataSet:
    """The data set, with the number of training images used stated in `split` if the recipe sets `images`."""
    if recipe.images is None:
        return dataset
    used = f"Of the training images {recipe.images:,} are used, drawn once with equal shares of each class."
    return dataset.model_copy(update={"split": f"{dataset.split} {used}"})


def check_used(wanted: int, there: int, dataset: DataSet) -> None:
    """Raises UsageError if more training images are wanted than there are, or fewer than there are classes."""
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
