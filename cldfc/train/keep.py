"""Keeps what a training reaches: measurements and chosen weights after every epoch, its state now and then."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import monotonic

import torch
from torch.optim import Optimizer

from cldfc.train.checkpoint_folder import write_checkpoint
from cldfc.train.lock import Lock
from cldfc.train.loop import Task, diverged, train_from
from cldfc.train.metrics import Epoch, as_csv, chosen_epoch, is_complete
from cldfc.train.origin import is_finite
from cldfc.train.pace import Progress
from cldfc.train.position import TrainingPosition
from cldfc.train.run import RunFolder
from cldfc.train.seal import write_sealed
from cldfc.train.state import Saved, generators, spec_digest, training_tensors
from cldfc.train.stop import OwnRequest, Request, Stopped
from cldfc.train.weights import as_bytes


@dataclass(frozen=True, slots=True)
class Saving:
    """When the state of a training is saved, beside after every epoch."""

    minutes: float = 10
    """After this many minutes within an epoch."""
    request: Request = field(default_factory=OwnRequest)
    """When it is asked to stop."""


def train_and_save(
    task: Task,
    optimizer: Optimizer,
    run: RunFolder,
    start: TrainingPosition,
    progress: Progress,
    saving: Saving,
    tell: Callable[[Sequence[Epoch]], None],
    lock: Lock | None,
) -> Sequence[Epoch]:
    """Train from a position to the end, and keep what is reached; gives what was measured in all epochs.

    `tell` hears of all epochs whenever another one is safe. The lock is that of the run, in the process that writes.
    Raises Diverged, UsageError when a file cannot be written, and Stopped; the last checkpoint is then intact.
    """
    position, saved = start, monotonic()
    for position in train_from(task, optimizer, start, progress):
        is_due = position.step == 0 or monotonic() - saved > 60 * saving.minutes
        asked, due = task.processes.highest(saving.request.number, is_due)
        # The checkpoint comes first: metrics and weights can be written again from it.
        if lock is not None and (asked or due):
            lock.check()
        if asked or due:
            save_state(task, optimizer, run, position)
            saved = monotonic()
        if position.step == 0 and task.processes.is_first:
            keep_epoch(task, run, position)
        if position.step == 0:
            tell(position.epochs)
        if asked and not is_complete(position.epochs, task.recipe):
            raise Stopped(run.path, int(asked), task.processes.is_first)
    return position.epochs


def keep_epoch(task: Task, run: RunFolder, position: TrainingPosition) -> None:
    contents = {run.metrics.name: as_csv(position.epochs).encode()}
    if chosen_epoch(position.epochs, task.choice) is position.epochs[-1]:
        contents[run.weights.name] = as_bytes(task.network)
    write_sealed(run.path, contents)


def save_state(task: Task, optimizer: Optimizer, run: RunFolder, position: TrainingPosition) -> None:
    """Write a checkpoint. Raises Diverged when a tensor is not finite; the checkpoint before it stays the last."""
    tensors = training_tensors(task.network, optimizer)
    for name, tensor in tensors.items():
        if not is_finite(tensor):
            raise diverged(f"`{name}` is no longer finite in epoch {position.epoch}", task)
    saved = Saved(
        position=position,
        generators=task.processes.gather(generators()),
        threads=torch.get_num_threads(),
        spec=spec_digest(task.compiled.spec_text if task.compiled else ""),
        recipe=task.recipe.model_dump(mode="json"),
    )
    if task.processes.is_first:
        write_checkpoint(run.checkpoints, tensors, saved, task.choice)
