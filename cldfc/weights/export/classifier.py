"""What is exported: a network with its standardisation in it; what the file says, and how far it is from that."""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import cast

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from cldfc.data.data_set import DataSet
from cldfc.diagnostics import UsageError, shape_text
from cldfc.files import MARK

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
    rules: dict[str, tuple[str, ...]]
    """By the names of weights that are written as the rules of their kernels make them: these rules."""


def describe_network(
    model: str, dataset: DataSet, has_standardisation: bool, folded: int, rules: dict[str, tuple[str, ...]]
) -> About:
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
        rules=rules,
    )


class Classifier(nn.Module):
    """Standardises images as the training did, then applies the network, in evaluation mode.

    Shapes: n × channels × height × width (uint8, the units of the data set) to n × classes (scores, float32).
    """

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, dataset: DataSet) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", torch.tensor(dataset.mean).view(-1, 1, 1))
        self.register_buffer("std", torch.tensor(dataset.std).view(-1, 1, 1))
        self.eval()

    def forward(self, pixels: Tensor) -> Tensor:
        return self.network((pixels - self.mean) / self.std)


Scores = Callable[[Tensor], Tensor]
"""Maps pixels, n × channels × height × width (uint8), to n × classes (float32)."""

BATCHES = (1, 3)
"""Numbers of images; a file that fixes the number cannot do both."""

TOLERANCE = 1e-4
"""The largest difference, as a share of the largest score; folding and another order of sums stay far below."""


@dataclass(frozen=True, slots=True)
class ScoreDifference:
    """The largest difference of two scores of one image and class, and the largest score of the network."""

    largest: float
    largest_score: float


@torch.no_grad()
def compare_scores(written: Scores, network: nn.Module, dataset: DataSet) -> ScoreDifference:
    """Compare what was written with the network. Raises UsageError when they differ by more than rounding."""
    # Noise with the mean and the standard deviation of the data set.
    draw = torch.Generator().manual_seed(0)
    mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (dataset.mean, dataset.std))
    noise = (torch.randn(count, *dataset.shape, generator=draw) for count in BATCHES)
    images = [(mean + std * part).round().clamp(0, 255).to(torch.uint8) for part in noise]
    expected = [cast(Tensor, network(pixels)) for pixels in images]
    largest_score = max(float(scores.abs().max()) for scores in expected)
    if not math.isfinite(largest_score):
        raise UsageError("the network gives scores that are not finite", "export a run that has not diverged")
    pairs = zip(map(written, images), expected, strict=True)
    largest = max(float((found - scores).abs().nan_to_num(torch.inf).max()) for found, scores in pairs)
    if largest > TOLERANCE * largest_score:
        raise differs(f"scores that differ by {largest:.2g}, where the largest is {largest_score:.2g}")
    return ScoreDifference(largest, largest_score)


def differs(what: str) -> UsageError:
    return UsageError(f"the file that was written gives {what}", "it has been removed: please report the spec")


@contextmanager
def exporting(what: str, model: str) -> Generator[None]:
    """Keep torch's warnings to itself; raises UsageError for whatever it raises."""
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    except Exception as error:
        if "data-dependent" in str(error):
            raise UsageError(
                f"{what} cannot write {model}: how often its fixed points iterate depends on the images",
                "export the weights alone, and load them into the generated module",
            ) from error
        reason = str(error).strip().partition("\n")[0]
        raise UsageError(
            f"{what} cannot write {model}: {type(error).__name__}: {reason}",
            "try another format, and please report the spec",
        ) from error
    finally:
        logging.disable(logging.NOTSET)
