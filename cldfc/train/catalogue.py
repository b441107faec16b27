"""The data sets a network can be trained on: what is known of each without loading it.

A data set is one entry here and one file with a function `load`, named as the data set.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from cldfc.diagnostics import UsageError, did_you_mean
from cldfc.train.recipe import Recipe


class DataSet(BaseModel):
    """A set of labelled images, split once and for all into training and test images."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    name: str
    """What the command line calls it; also the name of the file that loads it."""

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


CATALOGUE = {
    dataset.name: dataset
    for dataset in (
        DataSet(
            name="digits",
            shape=(1, 8, 8),
            classes=10,
            mean=(4.8861,),
            std=(6.0179,),
            split="The 1,797 handwritten digits of scikit-learn, divided at random (state 0) with "
            "equal shares of each class into 1,437 training and 360 test images.",
            recipe=Recipe(epochs=8, batch=64, lr=0.05, label_smoothing=0.1, shift_columns=1),
        ),
    )
}


def find(name: str) -> DataSet:
    """The data set of that name; raises UsageError when there is none."""
    if name not in CATALOGUE:
        known = f"the data sets are: {', '.join(CATALOGUE)}"
        raise UsageError(f"there is no data set `{name}`", did_you_mean(name, CATALOGUE, known))
    return CATALOGUE[name]
