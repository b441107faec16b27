"""The epoch loop: takes a network through the epochs of a recipe, step by step, and measures each."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from time import perf_counter

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim import Optimizer

from cldfc.data.data_set import DataSet
from cldfc.data.images import Images, standardise
from cldfc.data.loader import Loader
from cldfc.device import Device
from cldfc.diagnostics import UsageError
from cldfc.recipe import Part, Recipe
from cldfc.training.metrics import (
    Choice,
    Epoch,
    Progress,
    TrainingPosition,
    after_step,
    images_per_second,
    is_complete,
)
from cldfc.training.processes import ALONE, Processes
from cldfc.training.step import Captured, Score, find_origin, learning_rate, score_network
from cldfc.weights.compiled import Compiled
from cldfc.weights.small_maps import Counts


class Diverged(UsageError):
    """A training whose loss is no longer a number."""


@dataclass(frozen=True, slots=True)
class Task:
    """What is trained, on what, how, where, and by how many processes: fixed through all epochs.

    `network` holds the weights; `trained` is the same, or what shares its gradient with other processes.
    """

    network: nn.Module
    loader: Loader
    dataset: DataSet
    recipe: Recipe
    device: Device
    trained: nn.Module
    processes: Processes = ALONE
    compiled: Compiled | None = None
    """What the compiler knows of the network, for words about it."""
    side_by_side: Counts = field(default_factory=dict[str, int])
    """How many small maps lie side by side in convolutions, by their shapes."""

    @property
    def choice(self) -> Choice:
        """How the epoch is chosen whose weights are saved."""
        return "validation" if "validation" in self.loader.parts else "last"


_Gradient = Callable[[Images], Tensor]
"""Sets the gradient of the loss of a batch; see `find_gradient`, of which it is the fastest form."""


def train_from(
    task: Task, optimizer: Optimizer, start: TrainingPosition, progress: Progress
) -> Iterator[TrainingPosition]:
    """Train the network on from a position, and give the position after each step and after each epoch.

    Raises Diverged when a loss is not finite; the weights are then those before the step.
    """
    progress.start(task.recipe, task.loader.steps)
    position, gradient = start, choose_gradient(task)
    while not is_complete(position.epochs, task.recipe):
        for stepped in train_epoch(task, optimizer, gradient, position, progress):
            position = stepped
            yield position
        position = _finish_epoch(task, position, progress)
        progress.epoch(position.epochs[-1])
        yield position


def train_epoch(
    task: Task, optimizer: Optimizer, gradient: _Gradient, start: TrainingPosition, progress: Progress
) -> Iterator[TrainingPosition]:
    position, began = start, perf_counter() - start.seconds
    task.network.train()
    for batch in task.loader.train_batches(start.epoch, start.step):
        loss, hits = train_step(task, optimizer, gradient, batch, _rate_at(task, position))
        shown = len(batch) * task.processes.count
        if not math.isfinite(loss):
            again = partial(_forward, replace(task, trained=task.network), batch)
            origin = find_origin(task.network, again, task.compiled.values if task.compiled else {})
            raise diverged(f"the loss is {loss} in step {position.step + 1} of epoch {start.epoch}", task, origin)
        position = after_step(position, loss, hits, shown, perf_counter() - began)
        progress.step(position)
        yield position


def _rate_at(task: Task, position: TrainingPosition) -> float:
    steps = task.loader.steps
    return learning_rate(task.recipe, (position.epoch - 1) * steps + position.step, task.recipe.epochs * steps)


def train_step(task: Task, optimizer: Optimizer, gradient: _Gradient, batch: Images, rate: float) -> tuple[float, int]:
    """One step of descent, unless the loss is not finite; gives the loss, and how many images were recognised."""
    for group in optimizer.param_groups:
        group["lr"] = rate
    # Both at once: on CUDA it is here that the program waits for the device.
    measured = gradient(batch).cpu()
    losses, all_hits = task.processes.total(*map(float, measured))
    if math.isfinite(losses):
        if task.recipe.clip is not None:
            nn.utils.clip_grad_norm_(task.network.parameters(), task.recipe.clip)
        optimizer.step()  # pyright: ignore[reportUnknownMemberType]
    return losses / task.processes.count, int(all_hits)


def choose_gradient(task: Task) -> _Gradient:
    """How a task finds the gradient of a batch: on CUDA by a graph, unless processes share it."""
    found = partial(find_gradient, task)
    return Captured(found) if task.device.kind == "cuda" and task.processes.count == 1 else found


def find_gradient(task: Task, batch: Images) -> Tensor:
    """Set the gradient of the loss of a batch; gives that loss, and how many images were recognised, on the device."""
    scores = _forward(task, batch)
    loss: Tensor = cross_entropy(scores, batch.labels, label_smoothing=task.recipe.label_smoothing)
    task.network.zero_grad()
    loss.backward()  # pyright: ignore[reportUnknownMemberType]
    hits = (scores.argmax(1) == batch.labels).sum()
    return torch.stack([loss.detach().double(), hits.double()])


def _forward(task: Task, batch: Images) -> Tensor:
    return task.device.scores(task.trained, standardise(batch.pixels, task.dataset))


def _finish_epoch(task: Task, position: TrainingPosition, progress: Progress) -> TrainingPosition:
    """Test the network after the last step of an epoch. Raises Diverged when the loss is not finite."""
    start = perf_counter()
    scores = _score_parts(task, progress)
    for part, score in scores.items():
        if not math.isfinite(score.loss):
            raise diverged(f"the {part} loss is {score.loss} in epoch {position.epoch}", task)
    test, validation = scores["test"], scores.get("validation")
    measured = Epoch(
        epoch=position.epoch,
        train_loss=position.loss_sum / position.shown,
        train_accuracy=position.hits / position.shown,
        validation_loss=validation and validation.loss,
        validation_accuracy=validation and validation.accuracy,
        test_loss=test.loss,
        test_accuracy=test.accuracy,
        seconds=position.seconds + perf_counter() - start,
        lr=_rate_at(task, position.model_copy(update={"step": position.step - 1})),
        images_per_second=images_per_second(position),
    )
    return TrainingPosition(epoch=position.epoch + 1, epochs=(*position.epochs, measured))


def _score_parts(task: Task, progress: Progress) -> dict[Part, Score]:
    """The scores on all images of each part that is tested, of which each process sees its share."""
    task.processes.agree(task.network)
    found: dict[Part, Score] = {}
    done = 0
    for part in task.loader.parts:
        batches = _heard(task.loader.test_batches(part), progress, done)
        own = score_network(task.network, batches, task.dataset, task.device)
        found[part] = own if task.processes.count == 1 else _sum_up(own, task.processes)
        done += own.images
    return found


def _sum_up(own: Score, processes: Processes) -> Score:
    """The score on the images of all processes, from that on each one's own."""
    sums = processes.total(own.loss * own.images, own.accuracy * own.images, own.images)
    return Score(sums[0] / sums[2], round(sums[1]) / sums[2], int(sums[2]))


def _heard(batches: Iterable[Images], progress: Progress, done: int) -> Iterator[Images]:
    """Batches of a test, of which the progress hears when they are done; `done` images were tested before them."""
    for batch in batches:
        yield batch
        done += len(batch)
        progress.test(done)


def diverged(found: str, task: Task, origin: str = "") -> Diverged:
    """The error for what was found not to be finite; `origin` says where that came from, if it is known."""
    recipe, head = task.recipe, task.compiled.head if task.compiled else None
    clip = ", or with `--clip 1`" if recipe.clip is None else ""
    unbounded = f"; no normalisation stands between `{head.value}` and `linear`" if head else ""
    spec = f"{head.help}, or " if head else ""
    return Diverged(
        f"{found}: training has diverged{origin and f', {origin}'}{unbounded}",
        f"{spec}start another run with a lower `--lr` (now {recipe.lr:g}), for instance {recipe.lr / 4:g}{clip}",
    )
