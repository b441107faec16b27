"""How far what was written is from the network: the scores of both for random images."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import torch
from torch import Generator, Tensor, nn

from cldfc.diagnostics import UsageError
from cldfc.train.catalogue import DataSet

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
    draw = Generator().manual_seed(0)
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
