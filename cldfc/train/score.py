"""How well a network classifies images."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from cldfc.train.catalogue import DataSet
from cldfc.train.device import Device
from cldfc.train.images import Images, standardise


@dataclass(frozen=True, slots=True)
class Score:
    """Mean cross-entropy, and share of images classified correctly (0 to 1)."""

    loss: float
    accuracy: float


@torch.no_grad()
def score_network(network: nn.Module, images: Images, dataset: DataSet, batch: int, device: Device) -> Score:
    """The score of a network on images, taken `batch` at a time, in evaluation mode."""
    network.eval()
    scores = torch.cat(
        [
            device.scores(network, standardise(images.pixels[first : first + batch], dataset))
            for first in range(0, len(images), batch)
        ]
    )
    correct = int((scores.argmax(1) == images.labels).sum())
    return Score(cross_entropy(scores, images.labels).item(), correct / len(images))
