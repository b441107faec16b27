"""Several processes that train one network together, started by torchrun: each sees its share of every batch."""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed import all_reduce, get_world_size
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel

from cldfc.data.batches import Share
from cldfc.device import choose_device, on_device, use_device
from cldfc.diagnostics import UsageError
from cldfc.training.launch import Job, Launch, read_launch, this_job

# torch does not say all types of its parameters.
_Distributed: Any = DistributedDataParallel
# torch 2.14 has given it a new name, and warns of the old one.
_RENAMED = "forward_sync_buffers" in inspect.signature(_Distributed).parameters
_SYNC_BUFFERS = "forward_sync_buffers" if _RENAMED else "broadcast_buffers"


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


def synchronise_norms(network: nn.Module, kind: str) -> None:
    """Make every batch norm of a network compute its statistics over all processes, on devices of this kind.

    On CUDA a norm becomes torch's own, which has no form for a CPU. Modules, tensors and names stay what they are.
    """
    for module in network.modules():
        if type(module) is not nn.BatchNorm2d:
            continue
        if kind == "cuda":
            # `convert_sync_batchnorm` makes new modules, and fails where scale and shift are buffers, as of `bn fixed`.
            module.__class__ = cast(Any, nn.SyncBatchNorm)
            cast(nn.SyncBatchNorm, module).process_group = None
        else:
            module.__class__ = SynchronisedBatchNorm2d
    generated = type(network).forward.__globals__
    if "shared_norm" in generated:
        generated["shared_norm"] = shared_norm


class SynchronisedBatchNorm2d(nn.BatchNorm2d):
    """A batch norm over the batches of all processes, which have equally many images."""

    def forward(self, input: Tensor) -> Tensor:
        return _normalise_batch(input, self, self) if self.training else super().forward(input)


def shared_norm(x: Tensor, shared: nn.BatchNorm2d, use: nn.BatchNorm2d) -> Tensor:
    """What generated code calls for `bn@ℓ`: a scale and a shift for several uses, each with statistics of its own."""
    if use.training:
        return _normalise_batch(x, use, shared)
    return F.batch_norm(x, use.running_mean, use.running_var, shared.weight, shared.bias, eps=use.eps)


def _normalise_batch(maps: Tensor, statistics: nn.BatchNorm2d, affine: nn.BatchNorm2d) -> Tensor:
    """Mean 0 and variance 1 by channel over the images of all processes, then a scale and a shift."""
    with torch.autocast(maps.device.type, enabled=False):
        values = maps.float()
        mean = _over_all(values)
        variance = _over_all((values - mean).square())
        _remember(statistics, mean.detach(), variance.detach(), get_world_size() * values.numel() // values.shape[1])
        normal = (values - mean) * torch.rsqrt(variance + statistics.eps)
        if affine.affine:
            normal = normal * affine.weight.view(-1, 1, 1) + affine.bias.view(-1, 1, 1)
    return normal.to(maps.dtype)


def _over_all(values: Tensor) -> Tensor:
    """The mean of each channel over the images of all processes, channels × 1 × 1."""
    total = SumOverProcesses.apply(values.mean((0, 2, 3)))  # pyright: ignore[reportUnknownMemberType]
    return cast(Tensor, total).view(-1, 1, 1) / get_world_size()


@torch.no_grad()
def _remember(statistics: nn.BatchNorm2d, mean: Tensor, variance: Tensor, count: int) -> None:
    """Move running statistics towards those of a batch of `count` numbers in a channel."""
    if statistics.running_mean is None or statistics.running_var is None or statistics.num_batches_tracked is None:
        return
    share = 0.0 if statistics.momentum is None else statistics.momentum
    statistics.running_mean.lerp_(mean.flatten(), share)
    statistics.running_var.lerp_(variance.flatten() * (count / (count - 1)), share)
    statistics.num_batches_tracked += 1


# torch.distributed has the stores, but does not say so to type checkers.
_stores: Any = dist

PATIENCE = timedelta(minutes=10)
"""How long a process waits for the others; the first one may be saving."""

_SIGNS_OF_AN_END = ("onnection", "roken pipe", "reset by peer", "Timed out", "remote process")
"""What an error says when another process has ended."""

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Processes:
    """Which of how many processes this is, and of which job."""

    rank: int = 0
    count: int = 1
    job: Job = field(default_factory=Job)

    @property
    def is_first(self) -> bool:
        """Whether this is the process that writes and prints."""
        return self.rank == 0

    @property
    def share(self) -> Share:
        return Share(self.rank, self.count)

    def total(self, *numbers: float) -> list[float]:
        return self.reduce(numbers, dist.ReduceOp.SUM)

    def highest(self, *numbers: float) -> list[float]:
        """The highest of each number in any process: all processes decide alike."""
        return self.reduce(numbers, dist.ReduceOp.MAX)

    def reduce(self, numbers: tuple[float, ...], operation: Any) -> list[float]:
        if self.count == 1:
            return list(numbers)
        tensor = torch.tensor(numbers, dtype=torch.float64, device="cuda" if dist.get_backend() == "nccl" else "cpu")
        dist.all_reduce(tensor, operation)
        return [float(number) for number in tensor]

    def collect(self, numbers: Tensor) -> Tensor:
        """The numbers of all processes, a row each, on the device; a step has one such exchange."""
        if self.count == 1:
            return numbers[None]
        found = [torch.empty_like(numbers) for _ in range(self.count)]
        dist.all_gather(found, numbers)
        return torch.stack(found)

    def gather(self, value: Value) -> list[Value]:
        """The values of all processes, in their order."""
        if self.count == 1:
            return [value]
        found: list[Any] = [None] * self.count
        dist.all_gather_object(found, value)
        return found

    def spread(self, network: nn.Module, images: Tensor) -> nn.Module:
        """The network as all processes train it, on images like these: the gradient is the mean of theirs."""
        # A kernel that is only applied to zeros never gets a gradient, and torch would wait for it.
        # The statistics of norms are brought into agreement before a test; those of the first are saved.
        trained: nn.Module = _Distributed(
            network,
            **{_SYNC_BUFFERS: False},
            gradient_as_bucket_view=True,
            find_unused_parameters=_has_idle(network, images),
        )
        # After the very first backward pass torch reorders the gradients; three or more processes then add them up in
        # another order. That pass is done here, so that a resumed run does not differ in its first step.
        trained(images).sum().backward()
        network.zero_grad()
        return trained

    def agree(self, network: nn.Module) -> None:
        """Give all processes the statistics of the first, which are those that it saves."""
        if self.count > 1:
            for buffer in network.buffers():
                dist.broadcast(buffer, 0)


ALONE = Processes()


def _has_idle(network: nn.Module, images: Tensor) -> bool:
    """Whether a network has a parameter that its scores do not depend on."""
    scores: Tensor = network.eval()(images)
    gradients = torch.autograd.grad(scores.sum(), list(network.parameters()), allow_unused=True)
    return any(gradient is None for gradient in cast(Sequence[Tensor | None], gradients))


@contextmanager
def together(device: str | None = None) -> Generator[Processes]:
    """Join the processes that torchrun has started; without it this process is alone, on the device that it asks for.

    Raises UsageError if the environment makes no sense, there is no such device, or another process has ended; and
    whatever ended an attempt before a restart.
    """
    launch = read_launch()
    if launch.count > 1 and device not in (None, "cpu", "cuda"):
        help = "leave `--device` out, or write `--device cpu`; CUDA_VISIBLE_DEVICES says which ones there are"
        raise UsageError(f"{launch.count} processes cannot share `{device}`: each has a device of its own", help)
    job = this_job(launch)
    job.raise_end()
    try:
        is_cuda = choose_device(wished=device).kind == "cuda"
        _meet(launch, is_cuda)
        with on_device(device), job.noting_end():
            yield Processes(launch.rank, launch.count, job)
    except RuntimeError as error:
        # What gloo and nccl raise has no type of its own.
        if launch.count == 1 or not any(words in str(error) for words in _SIGNS_OF_AN_END):
            raise
        raise UsageError("another process has ended", "what it says is the reason") from error
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()


def _meet(launch: Launch, is_cuda: bool) -> None:
    """Meet the other processes, if there are any. Raises UsageError when nothing says where, or a device is missing."""
    if launch.count == 1:
        return
    if not launch.port:
        raise UsageError("the environment says no MASTER_PORT", "start the processes with torchrun")
    if is_cuda:
        require_device(launch.device)
        use_device(launch.device)
    hosts = launch.rank == 0 and not launch.has_agent_store
    store = _stores.TCPStore(launch.address, launch.port, launch.count, hosts, PATIENCE)
    # Keys that an attempt before a restart has left behind would let this one hang.
    attempt = _stores.PrefixStore(f"attempt-{launch.restarts}", store)
    backend = "nccl" if is_cuda else "gloo"
    dist.init_process_group(backend, None, PATIENCE, launch.count, launch.rank, attempt)


def require_device(number: int) -> None:
    """Raises UsageError where there are CUDA devices, but none for the process of this number: nccl needs one each."""
    devices = torch.cuda.device_count() if torch.cuda.is_available() else number + 1
    if number >= devices:
        there = f"there {'is' if devices == 1 else 'are'} {devices}"
        raise UsageError(
            f"process {number + 1} of this machine has no CUDA device of its own: {there}",
            f"start at most {devices} by `torchrun --nproc-per-node`, or all on the CPU by `CUDA_VISIBLE_DEVICES=`",
        )


def end_process() -> None:
    """End one of several processes, which has done its work, without the interpreter's shutdown.

    Threads of gloo outlive the group, and now and then abort a process that is shutting down.
    """
    if read_launch().count > 1:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)
