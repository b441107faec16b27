"""A network of a few hundred weights: runs of it, here and in forked processes, and what they have reached."""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from cldfc.data.catalogue import find
from cldfc.recipe import Recipe
from cldfc.runs.journal import Saving, TrainingSetting
from cldfc.runs.resume import read_interrupted, resume_network
from cldfc.runs.training_run import Result, train_network
from cldfc.training.checkpoint_folder import list_checkpoints
from cldfc.training.metrics import Progress, Silence, TrainingPosition
from cldfc.training.processes import ALONE, Processes
from cldfc.weights.compiled import Compiled

# It draws from a generator in every step, keeps statistics, and owns a parameter that never gets a gradient.
SMALL = """
from torch import nn


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.norm = nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.second = nn.Conv2d(4, 8, 3, stride=2, padding=1)
        self.idle = nn.Conv2d(4, 4, 3)
        self.drop, self.last = nn.Dropout(0.1), nn.Linear(128, 10)

    def forward(self, x):
        x = self.norm(self.first(x)).relu()
        return self.last(self.drop(self.second(x).flatten(1)))
"""
IMAGES = "fake:1x8x8:10"
RECIPE = Recipe(epochs=4, batch=128, lr=0.02, shift_rows=1, flip=True)
STEPS = 8
"""Steps in an epoch: 1,024 images in batches of 128."""
EVERY_STEP = 0
NEVER = 1e9


class Killed(Exception):
    """Stands for whatever ends a process without a word."""


class Killer(Silence):
    """Ends a training in a step, which is not saved any more."""

    def __init__(self, epoch: int, step: int) -> None:
        self.place = epoch, step

    def step(self, position: TrainingPosition) -> None:
        if (position.epoch, position.step) == self.place:
            raise Killed


def train(
    folder: Path,
    recipe: Recipe = RECIPE,
    progress: Progress | None = None,
    saving: Saving | None = None,
    source: str = SMALL,
    processes: Processes = ALONE,
) -> Result:
    """A new run."""
    saving = saving or Saving(NEVER)
    progress = progress or Silence()
    setting = TrainingSetting(progress=progress, saving=saving, processes=processes)
    return train_network(Compiled("", source, "Small"), find(IMAGES), recipe, folder, setting)


def kill(folder: Path, epoch: int, step: int, minutes: float = EVERY_STEP, recipe: Recipe = RECIPE) -> Path:
    """A run that was killed in a step."""
    with pytest.raises(Killed):
        train(folder, recipe, Killer(epoch, step), Saving(minutes))
    return folder


def resume(
    folder: Path,
    warn: Callable[[str], None] = lambda line: None,
    progress: Progress | None = None,
    saving: Saving | None = None,
    from_start: bool = False,
    **changes: object,
) -> Result:
    """The rest of a run."""
    run = read_interrupted(folder, changes)
    setting = TrainingSetting(progress=progress or Silence(), saving=saving or Saving(NEVER))
    return resume_network(run, Compiled("", SMALL, "Small"), warn, setting, from_start)


def reached(folder: Path) -> tuple[bytes, dict[str, Any], bytes]:
    """Everything that a run has reached, without times: all tensors, its place and generators, and its best weights."""
    last = list_checkpoints(folder / "checkpoints")[-1]
    state = json.loads((last / "state.json").read_text())
    for timed in (state["position"], *state["position"]["epochs"]):
        del timed["seconds"]
        timed.pop("images_per_second", None)
    return (last / "tensors.safetensors").read_bytes(), state, (folder / "best.safetensors").read_bytes()


def start_forked(work: Callable[..., object], *arguments: object) -> Any:
    """A process that has torch loaded, with what an optimizer loads late, and does some work."""
    import_module("torch._dynamo")
    process = multiprocessing.get_context("fork").Process(target=work, args=arguments)
    process.start()
    return process
