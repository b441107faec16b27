"""Trains a generated network on a data set, and leaves a run folder behind."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch

from cldfc.diagnostics import UsageError
from cldfc.train.catalogue import DATA_DIR, DataSet
from cldfc.train.data.loader import open_loader
from cldfc.train.device import choose_device
from cldfc.train.keep import Saving, train_and_save
from cldfc.train.lock import locked
from cldfc.train.loop import Progress, Task
from cldfc.train.metrics import Epoch, best_epoch
from cldfc.train.network import build_network, check_fit
from cldfc.train.optimizer import make_optimizer
from cldfc.train.pixel import speed_up_pixels
from cldfc.train.position import BEGINNING
from cldfc.train.processes import ALONE, Processes, Shared
from cldfc.train.recipe import EPOCH_LIMIT, Recipe
from cldfc.train.report import write_report
from cldfc.train.run import RunFolder, RunRecord, create_run
from cldfc.train.synchronise import synchronise_norms


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a training."""

    folder: Path
    dataset: DataSet
    final: Epoch
    best: Epoch


def train_network(
    spec_text: str,
    source: str,
    class_name: str,
    facts: Mapping[str, str],
    dataset: DataSet,
    recipe: Recipe,
    folder: Path | None,
    progress: Progress,
    command: str = "",
    data_dir: Path = DATA_DIR,
    saving: Saving | None = None,
    processes: Processes = ALONE,
    picture: str = "",
) -> Result:
    """Train the class of a generated source, and write everything about it into a new folder.

    `facts`, `command` (what repeats the run) and `picture` (SVG) go into the report; without `folder` a numbered
    one is made in `runs`; `saving` says how often the state is saved; of several `processes` the
    first one writes. With the same release of
    torch and number of threads, a CPU gives the same weights again.

    Raises UsageError when the network does not fit the data set, the data set is not in
    `data_dir`, or the folder exists or cannot be written, Diverged when training diverges, and
    Stopped when it was asked to stop and has saved its state.
    """
    torch.manual_seed(recipe.seed)  # pyright: ignore[reportUnknownMemberType]
    task = prepare(build_fitting(source, class_name, dataset), dataset, recipe, data_dir, processes)
    record = record_of(task, class_name, command)
    note = processes.job.note_run
    made = create_run(folder, record, spec_text, source, note).path if processes.is_first else Path()
    run = RunFolder(processes.gather(made)[0])
    with locked(run) if processes.is_first else nullcontext():
        optimizer = make_optimizer(task.network, recipe)
        epochs = train_and_save(task, optimizer, run, BEGINNING, progress, saving or Saving())
    if processes.is_first:
        write_report(run, record, spec_text, facts, epochs, command, picture)
    return Result(run.path, dataset, epochs[-1], best_epoch(epochs))


def build_fitting(source: str, class_name: str, dataset: DataSet) -> torch.nn.Module:
    """The network of a source. Raises UsageError when it does not fit the data set."""
    network = build_network(source, class_name)
    check_fit(network, dataset)
    return network


def prepare(
    network: torch.nn.Module, dataset: DataSet, recipe: Recipe, data_dir: Path, processes: Processes = ALONE
) -> Task:
    """The network and the images, on the device they are trained on. Raises UsageError."""
    device = choose_device()
    loader = open_loader(dataset, recipe, device, data_dir)
    if device.kind == "cpu":
        speed_up_pixels(network)
    network = device.place(network)
    if processes.count == 1:
        return Task(network, loader, dataset, recipe, device, network)
    check_shares(recipe, processes)
    # What is drawn within the network, such as by dropout, is to differ.
    torch.manual_seed(recipe.seed + EPOCH_LIMIT * processes.rank)  # pyright: ignore[reportUnknownMemberType]
    if recipe.sync_bn:
        synchronise_norms(network)
    shared = Shared(loader, processes)
    trained = processes.spread(network, torch.zeros(1, *dataset.shape, device=device.torch))
    return Task(network, shared, dataset, recipe, device, trained, processes)


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
    )
