"""How long the epochs of a training take, and what of that is not its steps."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from time import perf_counter

from cldfc.training.metrics import Epoch, Silence, TrainingPosition


class Clock(Silence):
    """Hears a training, and notes when each step and each test was done."""

    def __init__(self, tell: Callable[[Epoch], None] = lambda measured: None) -> None:
        self.tell = tell
        self.steps: list[list[float]] = [[]]
        """When the steps of each epoch were done."""
        self.tested: list[float] = []
        """When each epoch had been tested."""

    def step(self, position: TrainingPosition) -> None:
        self.steps[-1].append(perf_counter())

    def epoch(self, measured: Epoch) -> None:
        self.tested.append(perf_counter())
        self.steps.append([])
        self.tell(measured)

    def outside(self) -> dict[str, float]:
        """Medians over the epochs after the first, in seconds: of a step, a test, what is between epochs, and an epoch.

        Between epochs lie saving, the report, and drawing the next order. Of the last epoch nothing comes after it.
        """
        tests = [tested - steps[-1] for tested, steps in zip(self.tested, self.steps, strict=False)]
        whole = [steps for steps in self.steps if len(steps) > 1]
        step = statistics.median((steps[-1] - steps[0]) / (len(steps) - 1) for steps in whole[1:] or whole)
        between = [
            after[0] - step - tested for tested, after in zip(self.tested, self.steps[1:], strict=False) if after
        ]
        found = {"step": step, "test": statistics.median(tests[1:] or tests), "between": statistics.median(between)}
        epoch = statistics.median(len(steps) for steps in whole) * step + found["test"] + found["between"]
        return {**found, "epoch": epoch, "share": (found["test"] + found["between"]) / epoch}
