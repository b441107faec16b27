"""Trains a generated network on a data set, and leaves a run folder behind."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from cldfc.diagnostics import UsageError, shape_text
from cldfc.train.allocator import keep_freed_memory
from cldfc.train.catalogue import DataSet
from cldfc.train.compiled import Compiled
from cldfc.train.data.holdout import check_validation, with_holdout
from cldfc.train.data.loader import open_loader
from cldfc.train.data.subset import told_of
from cldfc.train.device import choose_device
from cldfc.train.environment import Environment
from cldfc.train.journal import journal
from cldfc.train.keep import train_and_save
from cldfc.train.lock import locked
from cldfc.train.loop import Task
from cldfc.train.metrics import Epoch, chosen_epoch, stopped_early
from cldfc.train.network import build_fitting, count_parameters
from cldfc.train.optimizer import make_optimizer
from cldfc.train.pixel import speed_up_pixels
from cldfc.train.position import BEGINNING
from cldfc.train.processes import ALONE, Processes
from cldfc.train.recipe import EPOCH_LIMIT, Recipe
from cldfc.train.recorded_data import digests_of
from cldfc.train.refusals import refusals
from cldfc.train.run import RunFolder, RunRecord, create_run
from cldfc.train.setting import TrainingSetting
from cldfc.train.synchronise import synchronise_norms


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a training."""

    folder: Path
    dataset: DataSet
    record: RunRecord
    epochs: Sequence[Epoch]

    @property
    def final(self) -> Epoch:
        """The last epoch."""
        return self.epochs[-1]

    @property
    def chosen(self) -> Epoch:
        """The epoch whose weights are saved."""
        return chosen_epoch(self.epochs, self.record.chosen_by)

    @property
    def stopped_early(self) -> bool:
        """Whether there were epochs left when training ended."""
        return stopped_early(self.epochs, self.record.recipe)


def train_network(
    compiled: Compiled, dataset: DataSet, recipe: Recipe, folder: Path | None, setting: TrainingSetting | None = None
) -> Result:
    """Train a network on a data set, and write everything about it into a new folder.

    Without `folder` a numbered one is made in `runs`. With the same release of torch and number of
    threads, a CPU gives the same weights again.

    Raises UsageError when the network or the recipe does not fit the data set, the data set is not at hand,
    or the folder exists or cannot be written, Diverged when training diverges, and Stopped when
    it was asked to stop and has saved its state.
    """
    setting = setting or TrainingSetting()
    processes = setting.processes
    check_validation(dataset, recipe)
    torch.manual_seed(recipe.seed)  # pyright: ignore[reportUnknownMemberType]
    network, wishes = build_fitting(compiled, dataset), (setting.device, setting.workers)
    task = prepare(network, dataset, recipe, setting.data_dir, processes, *wishes)
    task = replace(task, compiled=compiled)
    record, note = record_of(task, compiled.class_name, setting.command), processes.job.note_run
    made = create_run(folder, record, compiled, note).path if processes.is_first else Path()
    run = RunFolder(processes.gather(made)[0])
    if processes.is_first:
        setting.say(what_begins(task, compiled.class_name, run))
    with locked(run) if processes.is_first else nullcontext() as lock:
        optimizer = make_optimizer(task.network, recipe)
        with (
            journal(run, record, compiled, task, BEGINNING, setting, Environment()) as kept,
            task.device.switches(),
            refusals(step_of(recipe)),
        ):
            epochs = train_and_save(task, optimizer, run, BEGINNING, setting.progress, setting.saving, kept, lock)
    return Result(run.path, task.dataset, record, epochs)


def prepare(
    network: torch.nn.Module,
    dataset: DataSet,
    recipe: Recipe,
    data_dir: Path,
    processes: Processes = ALONE,
    wished: str | None = None,
    workers: int | None = None,
) -> Task:
    """The network and the images, on the device they are trained on; `workers` read files. Raises UsageError."""
    device = choose_device(recipe.precise, wished)
    dataset = with_holdout(told_of(dataset, recipe), recipe)
    check_shares(recipe, processes)
    loader = open_loader(dataset, recipe, device, data_dir, processes.share, workers)
    if device.kind == "cpu":
        speed_up_pixels(network)
        keep_freed_memory()
    network = device.place(network)
    if processes.count == 1:
        return Task(network, loader, dataset, recipe, device, compiled_if_asked(network, recipe))
    # What is drawn within the network, such as by dropout, is to differ.
    torch.manual_seed(recipe.seed + EPOCH_LIMIT * processes.rank)  # pyright: ignore[reportUnknownMemberType]
    if recipe.sync_bn:
        synchronise_norms(network)
    trained = processes.spread(network, torch.zeros(1, *dataset.shape, device=device.torch))
    return Task(network, loader, dataset, recipe, device, compiled_if_asked(trained, recipe), processes)


def compiled_if_asked(network: torch.nn.Module, recipe: Recipe) -> torch.nn.Module:
    """The network as it is trained: through torch.compile, if the recipe says so; parameters stay those they are."""
    if not recipe.compile:
        return network
    compile: Any = torch.compile
    return compile(network, dynamic=False)


def what_begins(task: Task, class_name: str, run: RunFolder) -> str:
    """What is trained, where, and into which folder: a line."""
    parameters = count_parameters(task.network)
    shape, processes = shape_text(task.dataset.shape), task.processes.count
    where = f"{task.device}" if processes == 1 else f"{processes} × {task.device}"
    return f"{class_name}, {parameters:,} parameters, images of {shape}, on {where}: {run.path}"


def step_of(recipe: Recipe) -> str:
    """What has to fit into memory, in words."""
    return f"a step with a batch of {recipe.batch:,} images"


def check_shares(recipe: Recipe, processes: Processes) -> None:
    """Raises UsageError unless all processes get as many images of a batch."""
    if recipe.batch % processes.count:
        raise UsageError(
            f"a batch of {recipe.batch} images cannot be shared by {processes.count} processes",
            "start as many processes as divide it, or give another `--batch`: it is that of all processes together",
        )


def record_of(task: Task, class_name: str, command: str) -> RunRecord:
    """How a run is made."""
    return RunRecord(
        class_name=class_name,
        dataset=task.dataset.name,
        split=task.dataset.split,
        input_shape=task.dataset.shape,
        classes=task.dataset.classes,
        recipe=task.recipe,
        device=str(task.device),
        torch=torch.__version__,
        command=command,
        class_names=task.dataset.class_names,
        mean=task.dataset.mean,
        std=task.dataset.std,
        chosen_by=task.choice,
        fingerprint=task.dataset.fingerprint,
        digests=digests_of(task.dataset.name),
        skipped_files=task.dataset.skipped,
        trusted_files=task.dataset.trusted,
    )
