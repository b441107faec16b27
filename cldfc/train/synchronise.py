"""Batch norm over the whole batch, of which each process sees a share.

torch's own SyncBatchNorm needs CUDA; this one is the same formula with two sums over the processes, on any device.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.distributed import all_reduce, get_world_size


class SumOverProcesses(torch.autograd.Function):
    """The sum of a tensor over all processes, and of its gradient."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        total = values.contiguous().clone()
        all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        return SumOverProcesses.forward(ctx, gradient)


def sum_over_processes(values: Tensor) -> Tensor:
    """The sum of a tensor over all processes, through which gradients flow back."""
    return cast(Tensor, SumOverProcesses.apply(values))  # pyright: ignore[reportUnknownMemberType]


def synchronise_norms(network: nn.Module) -> None:
    """Let every batch norm of a network take its statistics over all processes."""
    for module in network.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = SynchronisedBatchNorm2d


class SynchronisedBatchNorm2d(nn.BatchNorm2d):
    """A batch norm whose batch is that of all processes, which see as many images each."""

    def forward(self, input: Tensor) -> Tensor:
        """The normalised maps, n × channels × height × width."""
        if not self.training:
            return super().forward(input)
        with torch.autocast(input.device.type, enabled=False):
            values = input.float()
            mean = self.over_all(values)
            variance = self.over_all((values - mean).square())
            self.remember(mean.detach(), variance.detach(), get_world_size() * values.numel() // values.shape[1])
            normal = (values - mean) * torch.rsqrt(variance + self.eps)
            scaled = normal * self.weight.view(-1, 1, 1) + self.bias.view(-1, 1, 1)
        return scaled.to(input.dtype)

    def over_all(self, values: Tensor) -> Tensor:
        """The mean of each channel over the images of all processes, channels × 1 × 1."""
        return sum_over_processes(values.mean((0, 2, 3))).view(-1, 1, 1) / get_world_size()

    @torch.no_grad()
    def remember(self, mean: Tensor, variance: Tensor, count: int) -> None:
        """Move the running statistics towards those of a batch of `count` numbers in a channel."""
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        share = 0.0 if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean.flatten(), share)
        self.running_var.lerp_(variance.flatten() * (count / (count - 1)), share)
        self.num_batches_tracked += 1
