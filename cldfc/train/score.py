"""How well a network classifies images."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from cldfc.train.catalogue import DataSet
from cldfc.train.device import Device, settled
from cldfc.train.images import Images, standardise


@dataclass(frozen=True, slots=True)
class Score:
    """Mean cross-entropy, share of images classified correctly (0 to 1), and number of images."""

    loss: float
    accuracy: float
    images: int


@torch.no_grad()
def score_network(network: nn.Module, batches: Iterable[Images], dataset: DataSet, device: Device) -> Score:
    """The score of a network on all images of some batches, in evaluation mode; without images there are only zeros."""
    network.eval()
    with settled():
        found = [(device.scores(network, standardise(batch.pixels, dataset)), batch.labels) for batch in batches]
    if not found:
        return Score(0.0, 0.0, 0)
    scores, labels = (torch.cat(parts) for parts in zip(*found, strict=True))
    correct = int((scores.argmax(1) == labels).sum())
    return Score(cross_entropy(scores, labels).item(), correct / len(labels), len(labels))
