"""Trains a generated network on a data set, and leaves a run folder behind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from cldfc.files import write_file
from cldfc.train.catalogue import DATA_DIR, DataSet
from cldfc.train.checkpoint import save_weights
from cldfc.train.data.loader import open_loader
from cldfc.train.device import choose_device
from cldfc.train.loop import Progress, Task, train_epochs
from cldfc.train.metrics import Epoch, as_csv, best_epoch
from cldfc.train.network import build_network, check_fit
from cldfc.train.pixel import speed_up_pixels
from cldfc.train.recipe import Recipe
from cldfc.train.report import write_report
from cldfc.train.run import RunFolder, RunRecord, create_run


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a training."""

    folder: Path
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
    picture: str = "",
) -> Result:
    """Train the class of a generated source, and write everything about it into a new folder.

    `facts`, `command` (what repeats the run) and `picture` (SVG) go into the report; without `folder` a numbered
    one is made in `runs`. With the same release of torch and number of threads, a CPU gives the
    same weights again. Raises UsageError when the network does not fit the data set, the data set
    is not in `data_dir`, or the folder exists, and Diverged when training diverges.
    """
    torch.manual_seed(recipe.seed)  # pyright: ignore[reportUnknownMemberType]
    network = build_network(source, class_name)
    check_fit(network, dataset)
    task = prepare(network, dataset, recipe, data_dir)
    record = record_of(task, class_name)
    run = create_run(folder, record, spec_text, source)
    epochs = keep_epochs(task, run, progress)
    write_report(run, record, spec_text, facts, epochs, command, picture)
    return Result(run.path, epochs[-1], best_epoch(epochs))


def prepare(network: torch.nn.Module, dataset: DataSet, recipe: Recipe, data_dir: Path) -> Task:
    """The network and the images, on the device they are trained on."""
    device = choose_device()
    loader = open_loader(dataset, recipe, device, data_dir)
    if device.kind == "cpu":
        speed_up_pixels(network)
    return Task(device.place(network), loader, dataset, recipe, device)


def record_of(task: Task, class_name: str) -> RunRecord:
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
    )


def keep_epochs(task: Task, run: RunFolder, progress: Progress) -> list[Epoch]:
    """Train; keep the measurements after every epoch and the weights of the best one."""
    epochs: list[Epoch] = []
    for epoch in train_epochs(task, progress):
        epochs.append(epoch)
        if best_epoch(epochs) is epoch:
            save_weights(task.network, run.weights)
        write_file(run.metrics, as_csv(epochs))
    return epochs
