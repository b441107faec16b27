"""The epoch loop: takes a network through the epochs of a recipe, step by step, and measures each."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from time import perf_counter

from torch.optim import Optimizer

from cldfc.data.images import Images
from cldfc.recipe import Part
from cldfc.training.descent import Descent, MeasuredStep
from cldfc.training.metrics import Epoch, Progress, TrainingPosition, after_step, images_per_second, is_complete
from cldfc.training.processes import Processes
from cldfc.training.step import Score, find_origin, learning_rate, score_network
from cldfc.training.task import Task, diverged

Wish = Callable[[], tuple[int, bool]]
"""What this process wishes: the signal by which it was asked to stop, or 0, and whether the state is to be saved."""


@dataclass(frozen=True, slots=True)
class Reached:
    """How far a training has come, as far as that has been read; the device may be some steps further."""

    position: TrainingPosition
    stands: bool = False
    """Whether the network is in that very state, because an epoch is over or some process asked for it."""
    asked: int = 0
    """The signal by which it was asked to stop, or 0: the same in all processes."""


def train_from(
    task: Task, optimizer: Optimizer, start: TrainingPosition, progress: Progress, wish: Wish
) -> Iterator[Reached]:
    """Continue training from a position, and yield how far it is after each step that was begun and each epoch.

    The network is in the reported state at the end of an epoch, and after a step before which a process asked for
    something. Raises Diverged when a loss is not finite; the weights are then those before the step.
    """
    progress.start(task.recipe, task.loader.steps)
    position, descent = start, Descent(task, optimizer, progress.remark)
    while not is_complete(position.epochs, task.recipe):
        for reached in train_epoch(descent, position, progress, wish):
            position = reached.position
            yield reached
        position = _finish_epoch(task, position, progress)
        progress.epoch(position.epochs[-1])
        (asked,) = task.processes.highest(wish()[0])
        yield Reached(position, stands=True, asked=int(asked))


def train_epoch(descent: Descent, start: TrainingPosition, progress: Progress, wish: Wish) -> Iterator[Reached]:
    """Train for the rest of an epoch; at the end its last step has been read."""
    task, position, began = descent.task, start, perf_counter() - start.seconds
    descent.begin(start.epoch, start.step)
    for step in range(start.step, task.loader.steps):
        asked, is_due = wish()
        descent.launch(asked, is_due)
        # Several processes decide by what they hear of each other, and so some steps later, but all after the same one.
        stands = task.processes.count == 1 and (asked > 0 or is_due)
        heard = 0
        while descent.noted and (stands or descent.is_behind or step == task.loader.steps - 1):
            measured = descent.read()
            heard = max(heard, measured.asked)
            stands = stands or measured.asked > 0 or measured.is_due
            position = _after(task, position, measured, perf_counter() - began)
            progress.step(position)
        yield Reached(position, stands, heard)


def _after(task: Task, position: TrainingPosition, measured: MeasuredStep, seconds: float) -> TrainingPosition:
    """The position after a step. Raises Diverged when its loss is not finite."""
    if math.isfinite(measured.loss):
        return after_step(position, measured.loss, measured.hits, measured.shown, seconds)
    # The weights are still those before the step.
    task.network.train()
    batch = next(iter(task.loader.train_batches(position.epoch, position.step)))
    again = partial(task.scores, task.network, batch)
    origin = find_origin(task.network, again, task.compiled.values if task.compiled else {})
    found = f"the loss is {measured.loss} in step {position.step + 1} of epoch {position.epoch}"
    raise diverged(found, task, origin)


def _finish_epoch(task: Task, position: TrainingPosition, progress: Progress) -> TrainingPosition:
    """Test the network after the last step of an epoch. Raises Diverged when the loss is not finite."""
    start = perf_counter()
    scores = _score_parts(task, progress)
    for part, score in scores.items():
        if not math.isfinite(score.loss):
            raise diverged(f"the {part} loss is {score.loss} in epoch {position.epoch}", task)
    test, validation, steps = scores["test"], scores.get("validation"), task.loader.steps
    measured = Epoch(
        epoch=position.epoch,
        train_loss=position.loss_sum / position.shown,
        train_accuracy=position.hits / position.shown,
        validation_loss=validation and validation.loss,
        validation_accuracy=validation and validation.accuracy,
        test_loss=test.loss,
        test_accuracy=test.accuracy,
        seconds=position.seconds + perf_counter() - start,
        lr=learning_rate(task.recipe, position.epoch * steps - 1, task.recipe.epochs * steps),
        images_per_second=images_per_second(position),
    )
    return TrainingPosition(epoch=position.epoch + 1, epochs=(*position.epochs, measured))


def _score_parts(task: Task, progress: Progress) -> dict[Part, Score]:
    """The scores on all images of each part that is tested; each process tests its share."""
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
    """The score on the images of all processes, from each one's score on its own."""
    sums = processes.total(own.loss * own.images, own.accuracy * own.images, own.images)
    return Score(sums[0] / sums[2], round(sums[1]) / sums[2], int(sums[2]))


def _heard(batches: Iterable[Images], progress: Progress, done: int) -> Iterator[Images]:
    """Batches of a test, reported to the progress when they are done; `done` images were tested before them."""
    for batch in batches:
        yield batch
        done += len(batch)
        progress.test(done)
