"""Whether training steps go through torch.compile: as the recipe says or, before a training, by the clock.

A compiled network runs inside the CUDA graph of a step. How much that gains depends on device, network and batch, and
compiling takes half a minute: it is tried where a training is long enough, on steps that leave no trace.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import replace
from time import perf_counter
from typing import Any

import torch
from torch import Generator as Chance
from torch import nn

from cldfc.data.batches import frame
from cldfc.data.images import Images
from cldfc.data.loader import Resident
from cldfc.training.descent import Descent
from cldfc.training.state import generators_kept
from cldfc.training.step import LAUNCHED, make_optimizer
from cldfc.training.task import Task
from cldfc.weights.torch_errors import refusals, why_not_compiled

TRIED_ON = "cuda"
"""The kind of device on which compiling is tried: on a CPU, convolutions take most of a step, compiled or not."""
LONG = 180.0
"""Seconds of steps above which it is tried: of fewer it would hardly gain the half minute that compiling takes."""
GAIN = 1.05
"""How many times as fast compiled steps have to be, which are compiled anew whenever the run is resumed."""
WARM, ROUNDS = 2, 3
"""Steps after the capture that are not measured, and how often some are."""
ROUND_SECONDS, MOST_STEPS = 0.5, 20
"""What a round takes, if so many steps take no less."""


def compile_task(task: Task, whole: bool = True) -> Task:
    """The task with steps that go through torch.compile, which compiles in the first of them.

    A network that torch would compile in pieces fails there, unless it is allowed to by not `whole`.
    """
    # It carries no types. Its default mode captures no CUDA graph of its own: that is done with the whole step.
    compile: Any = torch.compile
    return replace(task, trained=compile(task.trained, dynamic=False, fullgraph=whole), is_compiled=True)


def choose_compile(
    task: Task, recorded: bool | None, say: Callable[[str], None], status: Callable[[str], None]
) -> Task:
    """The task, compiled where its recipe wishes it or, with `auto`, where that is recorded or, without a record, pays.

    Nothing of the network changes, and nothing is drawn. `say` hears what was found out, `status` that it is being
    tried. Raises UsageError where a recipe wishes what torch cannot compile.
    """
    wished, steps = task.recipe.compile, task.loader.steps * task.recipe.epochs
    alone, has_to = task.processes.count == 1, wished == "on"
    may_be = wished == "auto" and alone and task.device.kind == TRIED_ON and not task.device.precise
    if has_to and (recorded is not None or not alone):
        # What shares the gradient with others is always compiled in pieces; so were all networks in earlier releases.
        return compile_task(task, whole=alone and recorded is not False)
    if not has_to and (not may_be or recorded is False):
        return task
    with generators_kept(), _unchanged(task.network), task.device.switches():
        with refusals(f"a step with a batch of {task.recipe.batch:,} images"):
            if has_to:
                compiled = compile_task(task)
                _Clocked(compiled).take(1)
                return compiled
            seconds = None if recorded else _Clocked(task).seconds()
        if seconds is not None and seconds * steps < LONG:
            return task
        status("trying torch.compile, which takes half a minute")
        return _try(task, seconds, say)


def _try(task: Task, seconds: float | None, say: Callable[[str], None]) -> Task:
    """The task, compiled if that can be done and its steps then take less than so many seconds, if that is known."""
    start, compiled = perf_counter(), compile_task(task)
    try:
        clocked = _Clocked(compiled)
        clocked.take(1)
        gain = seconds / clocked.seconds() if seconds is not None else GAIN
    except Exception as error:
        # Steps as they are were possible: whatever it is, it comes from compiling.
        say(f"torch.compile: not used; {why_not_compiled(error)}")
        return task
    if seconds is None:
        return compiled
    if gain >= GAIN:
        say(f"torch.compile: {gain:.2f} times as fast, used")
        return compiled
    found = "no faster" if gain < 1.005 else f"only {gain:.2f} times as fast"
    say(f"torch.compile: {found}, not used; it took {perf_counter() - start:.0f} s to find out")
    return task


class _Clocked:
    """Takes steps of a task on random images, and measures how long they take."""

    def __init__(self, task: Task) -> None:
        images = _random_images(task)
        loader = Resident(frame(images, task.recipe), images, task.recipe)
        self.descent = Descent(replace(task, loader=loader), make_optimizer(task.network, task.recipe))
        self.descent.begin(1, 0)

    def take(self, count: int) -> float:
        """Take so many steps, and wait for them; how many seconds one takes."""
        start = perf_counter()
        for _ in range(count):
            # There is one batch.
            self.descent.place.zero_()
            self.descent.launch(0, False)
        while self.descent.noted:
            self.descent.read()
        return (perf_counter() - start) / count

    def seconds(self) -> float:
        """The least that a step takes, once it has been captured."""
        self.take(LAUNCHED + WARM)
        count = max(1, min(MOST_STEPS, round(ROUND_SECONDS / max(self.take(1), 1e-9))))
        return min(self.take(count) for _ in range(ROUNDS))


def _random_images(task: Task) -> Images:
    """A batch like those of the training."""
    chance, count = Chance().manual_seed(0), task.recipe.batch
    pixels = torch.randint(0, 256, (count, *task.dataset.shape), dtype=torch.uint8, generator=chance)
    labels = torch.randint(0, task.dataset.classes, (count,), generator=chance)
    return Images(pixels, labels).to(task.device.torch)


@contextmanager
def _unchanged(network: nn.Module) -> Generator[None]:
    """Let weights and statistics be what they were when the block ends, in the same memory, and without gradients."""
    tensors = [*network.parameters(), *network.buffers()]
    before, was_training = [tensor.detach().clone() for tensor in tensors], network.training
    try:
        yield
    finally:
        network.train(was_training).zero_grad()
        with torch.no_grad():
            for tensor, value in zip(tensors, before, strict=True):
                tensor.copy_(value)
        # What the graphs of the steps have held.
        torch.cuda.empty_cache()
