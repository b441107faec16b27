"""The epoch loop: takes a network through the epochs of a recipe, and measures each."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from time import perf_counter
from typing import Protocol

from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim import Optimizer

from cldfc.diagnostics import UsageError
from cldfc.train.catalogue import DataSet
from cldfc.train.data.loader import Loader
from cldfc.train.device import Device
from cldfc.train.images import Images, standardise
from cldfc.train.metrics import Epoch
from cldfc.train.optimizer import learning_rate, make_optimizer, set_learning_rate
from cldfc.train.recipe import Recipe
from cldfc.train.score import Score, score_network


class Diverged(UsageError):
    """A training whose loss is no longer a number."""


class Progress(Protocol):
    """Hears how a training goes."""

    def start(self, recipe: Recipe, steps: int) -> None:
        """Training begins: `steps` steps in each epoch."""
        ...

    def step(self, epoch: int, step: int, loss: float) -> None:
        """A step is done; both count from 1."""
        ...

    def epoch(self, measured: Epoch) -> None:
        """An epoch is done and tested."""
        ...


@dataclass(frozen=True, slots=True)
class Task:
    """What is trained, on what, how, and where: fixed through all epochs."""

    network: nn.Module
    loader: Loader
    dataset: DataSet
    recipe: Recipe
    device: Device


def train_epochs(task: Task, progress: Progress) -> Iterator[Epoch]:
    """Train the network, and give what was measured after each epoch.

    Raises Diverged when a loss is not finite.
    """
    recipe = task.recipe
    progress.start(recipe, task.loader.steps)
    optimizer = make_optimizer(task.network, recipe)
    for number in range(1, recipe.epochs + 1):
        start = perf_counter()
        train = train_epoch(task, optimizer, number, progress)
        test = score_network(task.network, task.loader.test_batches(), task.dataset, task.device)
        stop_unless_finite(test.loss, number, recipe)
        measured = Epoch(
            epoch=number,
            train_loss=train.loss,
            train_accuracy=train.accuracy,
            test_loss=test.loss,
            test_accuracy=test.accuracy,
            seconds=perf_counter() - start,
        )
        progress.epoch(measured)
        yield measured


def train_epoch(task: Task, optimizer: Optimizer, number: int, progress: Progress) -> Score:
    """One pass over the training images; the score is of the batches as they were trained on."""
    steps = task.loader.steps
    loss_sum, correct, shown = 0.0, 0, 0
    task.network.train()
    for step, batch in enumerate(task.loader.train_batches(number)):
        rate = learning_rate(task.recipe, (number - 1) * steps + step, task.recipe.epochs * steps)
        loss, hits = train_step(task, optimizer, batch, rate)
        stop_unless_finite(loss, number, task.recipe)
        loss_sum, correct, shown = loss_sum + loss * len(batch), correct + hits, shown + len(batch)
        progress.step(number, step + 1, loss)
    return Score(loss_sum / shown, correct / shown)


def train_step(task: Task, optimizer: Optimizer, batch: Images, rate: float) -> tuple[float, int]:
    """One step of descent; gives the loss, and how many images were classified correctly."""
    set_learning_rate(optimizer, rate)
    scores = task.device.scores(task.network, standardise(batch.pixels, task.dataset))
    loss: Tensor = cross_entropy(scores, batch.labels, label_smoothing=task.recipe.label_smoothing)
    optimizer.zero_grad()
    loss.backward()  # pyright: ignore[reportUnknownMemberType]
    if task.recipe.clip is not None:
        nn.utils.clip_grad_norm_(task.network.parameters(), task.recipe.clip)
    optimizer.step()  # pyright: ignore[reportUnknownMemberType]
    return loss.item(), int((scores.argmax(1) == batch.labels).sum())


def stop_unless_finite(loss: float, epoch: int, recipe: Recipe) -> None:
    """Raises Diverged when the loss is infinite or not a number."""
    if not math.isfinite(loss):
        raise Diverged(
            f"the loss is {loss} in epoch {epoch}: training has diverged",
            f"lower `lr` (now {recipe.lr:g}), for instance to {recipe.lr / 4:g}",
        )
