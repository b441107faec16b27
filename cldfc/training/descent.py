"""The steps of a training on its device: a step waits for nothing, and its measurements are read some steps later."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim import Optimizer

from cldfc.device import on_own_core
from cldfc.output import ignore
from cldfc.training.step import Captured, learning_rate
from cldfc.training.task import Task

# What torch does to lists of tensors at once carries no types.
_of_lists: Any = torch

LAG: Mapping[str, int] = {"cpu": 0, "cuda": 4}
"""How many steps may have begun, for each kind of device, before what was measured in a step is read."""


@dataclass(frozen=True, slots=True)
class MeasuredStep:
    """What was measured in a step, over all processes, and whether one of them asked to stop or to save before it."""

    loss: float
    """The mean over the images; not finite where the training has diverged."""
    hits: int
    """How many images were recognised."""
    shown: int
    """How many there were."""
    asked: int
    """The signal by which a process was asked to stop, or 0."""
    is_due: bool
    """Whether the state is to be saved."""


@dataclass(frozen=True, slots=True)
class _Noted:
    """What a step has measured, on its way to this process."""

    record: Tensor
    is_here: Any
    """The event after which it has arrived; None where it is here already."""
    asked: int
    is_due: bool


class Descent:
    """Takes the steps of a training, one after another, each the same function of tensors that stay where they are.

    From a loss that is not finite on, no step changes a weight or a running statistic, not even its own step: when it
    is read, some steps later, everything is as it was before that step.
    """

    def __init__(self, task: Task, optimizer: Optimizer, remark: Callable[[str], None] = ignore) -> None:
        device, is_cuda = task.device.torch, task.device.kind == "cuda"
        self.task, self.optimizer, self.lag = task, optimizer, LAG[task.device.kind]
        self.place = torch.zeros(1, dtype=torch.int64, device=device)
        """The step of the epoch that comes next, counted from 0."""
        # The fused optimizers read the rate in float32 on CUDA, in float64 on the CPU.
        self.rates = torch.zeros(task.loader.steps, dtype=torch.float32 if is_cuda else torch.float64, device=device)
        self.rate = self.rates.new_zeros(())
        self.has_failed = torch.zeros((), device=device)
        """1 after a loss that was not finite."""
        self.wishes = torch.zeros(2, dtype=torch.float64, device=device)
        self.record = torch.zeros(task.processes.count, 4, dtype=torch.float64, device=device)
        """For each process the loss, the hits, and its wishes."""
        self.statistics = [_bytes_of(buffer) for buffer in task.network.buffers() if _is_statistic(buffer)]
        self.before = [statistic.clone() for statistic in self.statistics]
        self.images = task.loader.hold()
        self.has_begun = False
        """Whether a step has been taken."""
        self.shown = 0
        """Images of a step, of all processes together: the same in each."""
        for group in optimizer.param_groups:
            group["lr"] = self.rate
        # By this name the fused optimizers find what lets them change nothing, as a GradScaler sets it.
        optimizer.found_inf = self.has_failed  # pyright: ignore[reportAttributeAccessIssue]
        self.noted: deque[_Noted] = deque()
        self.captured = Captured(remark) if is_cuda else None
        """None where there are no graphs, or the step is not to be one."""
        if self.captured is not None and task.processes.count > 1:
            self.captured.explain("several processes share the gradient")
            self.captured = None

    @property
    def is_behind(self) -> bool:
        """Whether a step has been taken long enough ago to be read."""
        return len(self.noted) > self.lag

    def begin(self, epoch: int, first: int) -> None:
        """Prepare the steps of an epoch, counted from 1, from its step `first`, counted from 0."""
        recipe, steps = self.task.recipe, self.task.loader.steps
        done, of = (epoch - 1) * steps, recipe.epochs * steps
        rates = [learning_rate(recipe, done + step, of) for step in range(steps)]
        self.rates.copy_(torch.tensor(rates, dtype=torch.float64))
        self.place.fill_(first)
        self.images.begin(epoch, first)
        self.task.network.train()

    def launch(self, asked: int, is_due: bool) -> None:
        """Take a step, or let the device take it; it also carries what this process asks for to the others."""
        self.images.fill()
        if self.task.processes.count > 1:
            wishes = torch.tensor([asked, is_due], dtype=torch.float64)
            self.wishes.copy_(wishes.pin_memory() if self.wishes.is_cuda else wishes, non_blocking=True)
        # In the first, torch.compile compiles, in processes of its own that would be kept on this core.
        with on_own_core() if self.has_begun else nullcontext():
            if self.captured is None:
                self.step()
            else:
                self.captured(self.step)
        self.has_begun = True
        if self.record.is_cuda:
            # From pinned memory that is not yet needed for anything else: torch keeps it until the copy is done.
            here = torch.empty_like(self.record, device="cpu", pin_memory=True)
            here.copy_(self.record, non_blocking=True)
            is_here = torch.cuda.Event()
            is_here.record()
            self.noted.append(_Noted(here, is_here, asked, is_due))
        else:
            self.noted.append(_Noted(self.record.clone(), None, asked, is_due))

    def read(self) -> MeasuredStep:
        """What was measured in the oldest step that has not been read; waits until that is done."""
        noted = self.noted.popleft()
        if noted.is_here is not None:
            noted.is_here.synchronize()
        rows = cast("list[list[float]]", noted.record.tolist())  # pyright: ignore[reportUnknownMemberType]
        losses, hits, asked, due = zip(*rows, strict=True)
        if len(rows) == 1:
            asked, due = (noted.asked,), (noted.is_due,)
        return MeasuredStep(sum(losses) / len(rows), int(sum(hits)), self.shown, int(max(asked)), bool(max(due)))

    def step(self) -> None:
        """Draw, cut and standardise a batch, find the gradient, clip it, and step; measure all that."""
        task, recipe, network = self.task, self.task.recipe, self.task.network
        if self.statistics:
            _of_lists._foreach_copy_(self.before, self.statistics)
        self.rate.copy_(self.rates.index_select(0, self.place).squeeze())
        batch = self.images.batch(self.place)
        self.shown = len(batch) * task.processes.count
        scores = task.scores(task.trained, batch)
        loss: Tensor = cross_entropy(scores, batch.labels, label_smoothing=recipe.label_smoothing)
        network.zero_grad()
        loss.backward()  # pyright: ignore[reportUnknownMemberType]
        with torch.no_grad():
            hits = (scores.argmax(1) == batch.labels).sum()
            own = torch.cat([torch.stack([loss.detach().double(), hits.double()]), self.wishes])
            self.record.copy_(task.processes.collect(own))
            is_finite = self.record[:, 0].isfinite().all()
            self.has_failed.copy_(torch.maximum(self.has_failed, (~is_finite).float()))
            _put_back(self.statistics, self.before, self.has_failed)
        if recipe.clip is not None:
            nn.utils.clip_grad_norm_(network.parameters(), recipe.clip)
        self.optimizer.step()  # pyright: ignore[reportUnknownMemberType]
        self.place.add_(1)


def _is_statistic(buffer: Tensor) -> bool:
    """Whether a buffer may be a number or a number for each channel; given kernels are larger, and never change."""
    return buffer.dim() <= 1 and buffer.is_contiguous()


def _bytes_of(buffer: Tensor) -> Tensor:
    """A buffer as bytes, in the same memory."""
    return buffer.detach().reshape(-1).view(torch.uint8)


def _put_back(values: list[Tensor], before: list[Tensor], is_wanted: Tensor) -> None:
    """Restore earlier bytes if `is_wanted` is 1, not 0; bytes are subtracted exactly, even those of NaN."""
    if not values:
        return
    change = _of_lists._foreach_sub(values, before)
    _of_lists._foreach_mul_(change, is_wanted.to(torch.uint8))
    _of_lists._foreach_sub_(values, change)
