"""A network with its standardisation in it, so that nobody who uses it can forget or confuse that."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from cldfc.train.catalogue import DataSet


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
