"""`torch.compile` for a network that is only evaluated: its weights become constants of the code."""

from __future__ import annotations

import logging
from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from cldfc.train.device import Device
from cldfc.train.refusals import refusals


class Frozen(nn.Module):
    """A compiled network. Another size of batch would be compiled anew, so a smaller batch is filled up."""

    def __init__(self, network: nn.Module, batch: int) -> None:
        super().__init__()
        self.compiled: Any = torch.compile(network, dynamic=False)
        self.batch = batch

    def forward(self, pixels: Tensor) -> Tensor:
        """What the network says of at most `batch` images, n × channels × height × width."""
        images = len(pixels)
        if images < self.batch:
            filled = pad(pixels, (0, 0, 0, 0, 0, 0, 0, self.batch - images))
            pixels = filled.contiguous(memory_format=torch.channels_last)
        scores: Tensor = self.compiled(pixels)
        return scores[:images]


@torch.inference_mode()
def freeze(network: nn.Module, device: Device, batch: int, shape: tuple[int, int, int]) -> nn.Module:
    """The network, compiled at once for batches of images of a shape. Raises UsageError without a C++ compiler."""
    # It carries no types, and takes a second to load.
    config: Any = import_module("torch._inductor.config")
    frozen = Frozen(network.eval(), batch)
    # It warns on a machine without CUDA, where nobody has asked for it.
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
    # `torch.compile(options={"freezing": True})` would do nothing, and with other switches it would compile anew.
    with config.patch(freezing=True), refusals(), device.switches():
        device.scores(frozen, torch.zeros(batch, *shape, device=device.torch))
    return frozen
