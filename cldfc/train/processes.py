"""Several processes that train one network together, started by torchrun: each sees its share of every batch."""

from __future__ import annotations

import os
import sys
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from cldfc.diagnostics import UsageError
from cldfc.train.data.loader import Loader
from cldfc.train.device import use_device
from cldfc.train.images import Images

# torch.distributed has the stores, but does not say so to type checkers.
stores: Any = dist

PATIENCE = timedelta(minutes=10)
"""How long a process waits for the others; the first one may be saving."""


Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Processes:
    """Which of how many processes this is."""

    rank: int = 0
    count: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this is the process that writes and prints."""
        return self.rank == 0

    def share(self, images: Images) -> Images:
        """The images of a batch that this process sees: every image is seen by exactly one."""
        return images[slice(self.rank, None, self.count)]

    def total(self, *numbers: float) -> list[float]:
        """Numbers, summed over all processes."""
        return self.reduce(numbers, dist.ReduceOp.SUM)

    def highest(self, *numbers: float) -> list[float]:
        """The highest of each number in any process: all processes decide alike."""
        return self.reduce(numbers, dist.ReduceOp.MAX)

    def reduce(self, numbers: tuple[float, ...], operation: Any) -> list[float]:
        """Numbers of all processes made one."""
        if self.count == 1:
            return list(numbers)
        tensor = torch.tensor(numbers, dtype=torch.float64, device="cuda" if dist.get_backend() == "nccl" else "cpu")
        dist.all_reduce(tensor, operation)
        return [float(number) for number in tensor]

    def gather(self, value: Value) -> list[Value]:
        """The values of all processes, in their order."""
        if self.count == 1:
            return [value]
        found: list[Any] = [None] * self.count
        dist.all_gather_object(found, value)
        return found

    def spread(self, network: nn.Module, images: Tensor) -> nn.Module:
        """The network as all processes train it, on images like these: the gradient is the mean of theirs."""
        # A kernel that is applied to zeros alone never gets a gradient, and would be waited for.
        return DistributedDataParallel(network, find_unused_parameters=has_idle(network, images))

    def agree(self, network: nn.Module) -> None:
        """Let all have the statistics of the first, which are those that it saves."""
        if self.count > 1:
            for buffer in network.buffers():
                dist.broadcast(buffer, 0)


ALONE = Processes()


def has_idle(network: nn.Module, images: Tensor) -> bool:
    """Whether a network has a parameter that its scores do not depend on."""
    scores: Tensor = network.eval()(images)
    gradients = torch.autograd.grad(scores.sum(), list(network.parameters()), allow_unused=True)
    return any(gradient is None for gradient in cast(Sequence[Tensor | None], gradients))


@dataclass(frozen=True, slots=True)
class Shared:
    """A loader of which this process sees its share."""

    whole: Loader
    processes: Processes

    @property
    def steps(self) -> int:
        """Number of training batches in an epoch, which all processes see together."""
        return self.whole.steps

    def train_batches(self, epoch: int, first: int = 0) -> Iterator[Images]:
        """The shares of the batches of an epoch, all of one size: of fewer images than a batch has, some sit out."""
        for batch in self.whole.train_batches(epoch, first):
            even = len(batch) // self.processes.count * self.processes.count
            yield self.processes.share(batch[slice(even)])

    def test_batches(self) -> Iterator[Images]:
        """The shares of the test images; a batch of which this process sees nothing is left out."""
        return filter(len, map(self.processes.share, self.whole.test_batches()))


def this_process() -> Processes:
    """The place that torchrun gives this process; raises UsageError when the environment makes no sense."""
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_PORT")
    if int_of("WORLD_SIZE", "1") == 1:
        return ALONE
    rank, count, _, _ = (int_of(name) for name in names)
    return Processes(rank, count)


def int_of(name: str, otherwise: str = "") -> int:
    """A number in the environment. Raises UsageError."""
    value = os.environ.get(name, otherwise)
    if not value.isdecimal():
        raise UsageError(f"the environment says {name}={value}", "start the processes with torchrun, or unset it")
    return int(value)


@contextmanager
def together() -> Generator[Processes]:
    """Join the processes that torchrun has started; without it this process is alone.

    Raises UsageError when the environment makes no sense, or another process has ended.
    """
    processes = this_process()
    if processes is ALONE:
        yield processes
        return
    use_device(int_of("LOCAL_RANK"))
    try:
        join(processes)
        yield processes
    except RuntimeError as error:
        # What gloo raises has no type of its own.
        if "onnection" not in str(error):
            raise
        raise UsageError("another process has ended", "what it says is the reason") from error
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()


def join(processes: Processes) -> None:
    """Meet the other processes."""
    hosts = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True" and processes.is_first
    address, port = os.environ.get("MASTER_ADDR", "localhost"), int_of("MASTER_PORT")
    store = stores.TCPStore(address, port, processes.count, hosts, PATIENCE)
    # Keys that an attempt before a restart has left behind would let this one hang.
    attempt = stores.PrefixStore(f"attempt-{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}", store)
    backend = "nccl" if torch.cuda.is_available() else "gloo"
    dist.init_process_group(backend, None, PATIENCE, processes.count, processes.rank, attempt)


def leave() -> None:
    """End one of several processes, which has done its work, without taking it apart.

    Threads of gloo live on after the group is gone, and abort now and then a process that takes itself apart.
    """
    if this_process() is not ALONE:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)
