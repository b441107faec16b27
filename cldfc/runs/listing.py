"""The runs in a folder: how far each has come, and what it has reached. Nothing of torch is loaded for that."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Literal

from cldfc.diagnostics import UsageError
from cldfc.files import read_header, read_text, refusing
from cldfc.runs.lock import is_locked
from cldfc.runs.run_folder import RunFolder, RunRecord, changed_files, is_run, no_run, read_record, runs_in
from cldfc.training.metrics import Epoch, chosen_epoch, is_complete, read_epochs, stopped_early

State = Literal["finished", "running", "interrupted", "diverged", "broken"]

_TOGETHER = 1.0
"""Seconds within which two trainings are stopped at the same time, as when the machine is."""

_STATISTICS = (".running_mean", ".running_var", ".num_batches_tracked")
"""What the names of tensors end with that are no parameters."""


@dataclass(frozen=True, slots=True)
class ListedRun:
    """A run as its folder shows it."""

    path: Path
    state: State
    """What can be done with it: a run that is interrupted can be resumed."""
    record: RunRecord | None = None
    """How it was made; None where that cannot be read."""
    epochs: Sequence[Epoch] = ()
    parameters: int | None = None
    """Number of its parameters; None before there are weights."""
    problem: str = ""
    """Why it is broken, where it has diverged, or what of its files was changed."""

    @property
    def chosen(self) -> Epoch | None:
        """The epoch whose weights are saved, up to now."""
        return chosen_epoch(self.epochs, self.record.chosen_by) if self.record and self.epochs else None

    @property
    def stopped_early(self) -> bool:
        return self.record is not None and stopped_early(self.epochs, self.record.recipe)

    @property
    def seconds(self) -> float:
        return sum(epoch.seconds for epoch in self.epochs)

    @property
    def order(self) -> tuple[bool, str, bool, tuple[float, ...], str]:
        """Sorts runs by data set, the best by validation first, then by their tests those without; broken ones last."""
        dataset = self.record.dataset if self.record else ""
        chosen = self.chosen
        ranks = (*chosen.rank("validation"), *chosen.rank("test")) if chosen else ()
        return self.state == "broken", dataset, not self.epochs, tuple(-rank for rank in ranks), self.path.name


def listed_runs(folder: Path) -> list[ListedRun]:
    """The runs in a folder, in the order of `ListedRun.order`; or the run whose folder it is. Raises UsageError."""
    if is_run(folder):
        return [listed_run(folder)]
    if folder.exists() and not folder.is_dir():
        raise no_run(folder)
    with refusing(f"cannot look into `{folder}`", "name a folder with runs; `cldfc train` makes them in `runs`"):
        inside = [path for path in folder.iterdir() if is_run(path)]
    return sorted(map(listed_run, inside), key=lambda run: run.order)


def newest_interrupted(folder: Path) -> Path:
    """The interrupted run in a folder that was trained last. Raises UsageError, also if two were stopped at once."""
    found = [run for run in map(listed_run, runs_in(folder)) if run.state in ("interrupted", "running")]
    waiting = sorted((run.path for run in found if run.state == "interrupted"), key=_last_written, reverse=True)
    if not waiting:
        in_use = next((f": `{run.path}` is in use, another process trains there" for run in found), "")
        raise UsageError(
            f"`{folder}` has no interrupted run{in_use}",
            "name one: `--resume RUN`; `cldfc runs DIR` lists those in a folder",
        )
    if len(waiting) > 1 and _last_written(waiting[0]) - _last_written(waiting[1]) < _TOGETHER:
        raise UsageError(
            f"`{waiting[0]}` and `{waiting[1]}` were stopped at the same time", f"name one: `--resume {waiting[0]}`"
        )
    return waiting[0]


def _last_written(path: Path) -> float:
    """When a training last wrote into the folder of its run, in seconds."""
    run = RunFolder(path)
    written = (run.record, run.environment, run.metrics, run.checkpoints)
    return max(os.stat(file).st_mtime for file in written if file.exists())


def listed_run(path: Path) -> ListedRun:
    """A run, however damaged it is."""
    run = RunFolder(path)
    try:
        record = read_record(run)
        read_text(run.spec)
        epochs = read_epochs(run.metrics) if run.metrics.exists() else []
        parameters = _stored_numbers(run.weights) if epochs else None
        changed = changed_files(path, (run.spec.name, run.record.name, run.metrics.name)) or []
        divergence = read_text(run.divergence).strip() if run.divergence.exists() else None
    except UsageError as error:
        return ListedRun(path, "broken", problem=error.message)
    except OSError as error:
        return ListedRun(path, "broken", problem=f"cannot read `{error.filename}`: {error.strerror}")
    problem = " and ".join(f"`{name}`" for name in changed) + " changed since the training wrote it" if changed else ""
    state: State = "finished" if is_complete(epochs, record.recipe) else "interrupted"
    if not {*changed} <= {run.metrics.name}:
        state = "broken"
    elif is_locked(run):
        state = "running"
    elif divergence is not None:
        state, problem = "diverged", "; ".join(filter(None, [divergence, problem]))
    return ListedRun(path, state, record, epochs, parameters, problem)


def _stored_numbers(path: Path) -> int:
    """The numbers in a safetensors file that training changes by descent, from its header alone. Raises UsageError."""
    return sum(prod(shape) for name, shape in read_header(path).items() if not name.endswith(_STATISTICS))
