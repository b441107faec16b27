"""Batch norm over the whole batch, of which each process sees a share.

torch's own SyncBatchNorm needs CUDA; this one is the same formula with two sums over the processes, on any device.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.distributed import all_reduce, get_world_size
from torch.nn import functional as F


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


def synchronise_norms(network: nn.Module) -> None:
    """Let every batch norm of a network take its statistics over all processes."""
    for module in network.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = SynchronisedBatchNorm2d
    generated = type(network).forward.__globals__
    if "shared_norm" in generated:
        generated["shared_norm"] = shared_norm


class SynchronisedBatchNorm2d(nn.BatchNorm2d):
    """A batch norm whose batch is that of all processes, which see as many images each."""

    def forward(self, input: Tensor) -> Tensor:
        return normalise_batch(input, self, self) if self.training else super().forward(input)


def shared_norm(x: Tensor, shared: nn.BatchNorm2d, use: nn.BatchNorm2d) -> Tensor:
    """What generated code calls for `bn@ℓ`: a scale and a shift for several uses, each with statistics of its own."""
    if use.training:
        return normalise_batch(x, use, shared)
    return F.batch_norm(x, use.running_mean, use.running_var, shared.weight, shared.bias, eps=use.eps)


def normalise_batch(maps: Tensor, statistics: nn.BatchNorm2d, affine: nn.BatchNorm2d) -> Tensor:
    """Mean 0 and variance 1 by channel over the images of all processes, then a scale and a shift."""
    with torch.autocast(maps.device.type, enabled=False):
        values = maps.float()
        mean = over_all(values)
        variance = over_all((values - mean).square())
        remember(statistics, mean.detach(), variance.detach(), get_world_size() * values.numel() // values.shape[1])
        normal = (values - mean) * torch.rsqrt(variance + statistics.eps)
        scaled = normal * affine.weight.view(-1, 1, 1) + affine.bias.view(-1, 1, 1)
    return scaled.to(maps.dtype)


def over_all(values: Tensor) -> Tensor:
    """The mean of each channel over the images of all processes, channels × 1 × 1."""
    total = SumOverProcesses.apply(values.mean((0, 2, 3)))  # pyright: ignore[reportUnknownMemberType]
    return cast(Tensor, total).view(-1, 1, 1) / get_world_size()


@torch.no_grad()
def remember(statistics: nn.BatchNorm2d, mean: Tensor, variance: Tensor, count: int) -> None:
    """Move running statistics towards those of a batch of `count` numbers in a channel."""
    if statistics.running_mean is None or statistics.running_var is None or statistics.num_batches_tracked is None:
        return
    share = 0.0 if statistics.momentum is None else statistics.momentum
    statistics.running_mean.lerp_(mean.flatten(), share)
    statistics.running_var.lerp_(variance.flatten() * (count / (count - 1)), share)
    statistics.num_batches_tracked += 1
