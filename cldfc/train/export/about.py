"""What an exported file says of itself, as JSON under the name `cldfc`."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from cldfc.diagnostics import shape_text
from cldfc.files import MARK
from cldfc.train.catalogue import DataSet

KEY = "cldfc"


class About(BaseModel):
    """The network in a file, and what it takes and gives."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    about: str
    model: str
    data: str
    classes: int
    """Number of scores that it gives for an image, in the order of the labels; before any softmax."""
    shape: tuple[int, int, int]
    takes: str
    mean: tuple[float, ...]
    """Mean of each channel, in the units of the pixels."""
    std: tuple[float, ...]
    """Standard deviation of each channel, in the units of the pixels."""
    folded: int
    """Number of normalisations that are folded into kernels."""


def describe_network(model: str, dataset: DataSet, has_standardisation: bool, folded: int) -> About:
    shape = shape_text(dataset.shape)
    pixels = f"uint8 pixels, n × {shape}, in the units of {dataset.name}; it standardises them itself"
    return About(
        about=MARK,
        model=model,
        data=dataset.name,
        classes=dataset.classes,
        shape=dataset.shape,
        takes=pixels if has_standardisation else f"(pixels - mean) / std, float32, n × {shape}",
        mean=dataset.mean,
        std=dataset.std,
        folded=folded,
    )
