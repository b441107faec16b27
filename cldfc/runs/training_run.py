"""Trains a generated network on a data set, and writes a run folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter

import torch
from torch import nn
from torch.optim import Optimizer

from cldfc.data.catalogue import check_validation, with_holdout
from cldfc.data.data_set import DataSet, told_of
from cldfc.data.loader import open_loader
from cldfc.device import Device, choose_device, keep_freed_memory, on_own_core
from cldfc.diagnostics import UsageError, shape_text
from cldfc.output import ignore
from cldfc.recipe import EPOCH_LIMIT, Algorithm, Algorithms, Recipe
from cldfc.runs.environment import Environment
from cldfc.runs.journal import TrainingSetting, journal, train_and_save
from cldfc.runs.lock import Lock, locked
from cldfc.runs.recorded_data import digests_of
from cldfc.runs.run_folder import RunFolder, RunRecord, create_run
from cldfc.training.metrics import BEGINNING, Epoch, TrainingPosition, chosen_epoch, stopped_early
from cldfc.training.processes import ALONE, Processes, synchronise_norms
from cldfc.training.step import make_optimizer
from cldfc.training.task import Task
from cldfc.training.trial import choose_compile
from cldfc.weights.compiled import Compiled
from cldfc.weights.fast_convolutions import find_uses, measure_algorithms, set_algorithms, speed_up_convolutions
from cldfc.weights.network import build_fitting, count_parameters
from cldfc.weights.torch_errors import refusals


@dataclass(frozen=True, slots=True)
class Result:
    """The results of a training: `chosen` is the epoch whose weights are saved."""

    folder: Path
    dataset: DataSet
    record: RunRecord
    epochs: Sequence[Epoch]

    @property
    def final(self) -> Epoch:
        return self.epochs[-1]

    @property
    def chosen(self) -> Epoch:
        return chosen_epoch(self.epochs, self.record.chosen_by)

    @property
    def stopped_early(self) -> bool:
        return stopped_early(self.epochs, self.record.recipe)


def train_network(
    compiled: Compiled, dataset: DataSet, recipe: Recipe, folder: Path | None, setting: TrainingSetting | None = None
) -> Result:
    """Train a network on a data set, and write everything about it into a new folder, by default one in `runs`.

    With the same release of torch and number of threads, a CPU gives the same weights again if the same maps lie side
    by side, as they do with `precise`: none. Raises Diverged, Stopped when it was asked to stop and has saved its
    state, and UsageError when something does not fit or cannot be written.
    """
    setting = setting or TrainingSetting()
    processes = setting.processes
    check_validation(dataset, recipe)
    task = prepare_training(compiled, dataset, recipe, setting)
    record = _record_of(task, compiled.class_name, setting.command)
    made = create_run(folder, record, compiled, processes.job.note_run).path if processes.is_first else Path()
    run = RunFolder(processes.gather(made)[0])
    if processes.is_first:
        parameters, shape = count_parameters(task.network), shape_text(task.dataset.shape)
        where = f"{task.device}" if processes.count == 1 else f"{processes.count} × {task.device}"
        setting.say(f"{compiled.class_name}, {parameters:,} parameters, images of {shape}, on {where}: {run.path}")
    with locked(run) if processes.is_first else nullcontext() as lock:
        optimizer = make_optimizer(task.network, recipe)
        return train_on(task, optimizer, run, record, compiled, BEGINNING, setting, Environment(), lock)


def train_on(
    task: Task,
    optimizer: Optimizer,
    run: RunFolder,
    record: RunRecord,
    compiled: Compiled,
    start: TrainingPosition,
    setting: TrainingSetting,
    before: Environment,
    lock: Lock | None,
) -> Result:
    """Train a run from a position to its end, and write all of it down; `before` are its earlier sessions."""
    with (
        journal(run, record, compiled, task, start, setting, before) as tell,
        task.device.switches(),
        refusals(f"a step with a batch of {record.recipe.batch:,} images"),
    ):
        epochs = train_and_save(task, optimizer, run, start, setting.progress, setting.saving, tell, lock)
    return Result(run.path, task.dataset, record, epochs)


def prepare_training(
    compiled: Compiled, dataset: DataSet, recipe: Recipe, setting: TrainingSetting, record: RunRecord | None = None
) -> Task:
    """The network, with weights drawn anew, and all that it is trained with. Raises UsageError.

    What depends on measurements is as it was recorded; without a record it is measured.
    """
    torch.manual_seed(recipe.seed)  # pyright: ignore[reportUnknownMemberType]
    network, wishes = build_fitting(compiled, dataset), (setting.device, setting.workers)
    algorithms = record and record.algorithms
    task = prepare(network, dataset, recipe, setting.data_dir, setting.processes, *wishes, algorithms, setting.say)
    task = choose_compile(task, record and record.torch_compile, setting.say, setting.progress.status)
    return replace(task, compiled=compiled)


def prepare(
    network: nn.Module,
    dataset: DataSet,
    recipe: Recipe,
    data_dir: Path,
    processes: Processes = ALONE,
    wished: str | None = None,
    workers: int | None = None,
    algorithms: Algorithms | None = None,
    say: Callable[[str], None] = ignore,
) -> Task:
    """The network and the images, on the device they are trained on; `workers` read files. Raises UsageError.

    `algorithms` is what a run has recorded of its convolutions; without it, measurements choose.
    """
    device = choose_device(recipe.precise, wished)
    dataset = with_holdout(told_of(dataset, recipe), recipe)
    if recipe.batch % processes.count:
        raise UsageError(
            f"a batch of {recipe.batch} images cannot be shared by {processes.count} processes",
            "start as many processes as divide it, or give another `--batch`: it is that of all processes together",
        )
    loader = open_loader(dataset, recipe, device, data_dir, processes.share, workers)
    if device.kind == "cpu":
        speed_up_convolutions(network)
        keep_freed_memory()
    network = trained = device.place(network)
    algorithms = _choose_algorithms(network, device, dataset, recipe, processes, algorithms, say)
    if processes.count > 1:
        # What is drawn within the network, such as by dropout, is to differ.
        torch.manual_seed(recipe.seed + EPOCH_LIMIT * processes.rank)  # pyright: ignore[reportUnknownMemberType]
        if recipe.sync_bn:
            synchronise_norms(network, device.kind)
        trained = processes.spread(network, torch.zeros(1, *dataset.shape, device=device.torch))
    return Task(network, loader, dataset, recipe, device, trained, processes, algorithms=algorithms)


_LONG = 2.0
"""Seconds of silence after which a line says what they were for."""


def _choose_algorithms(
    network: nn.Module,
    device: Device,
    dataset: DataSet,
    recipe: Recipe,
    processes: Processes,
    recorded: Algorithms | None,
    say: Callable[[str], None],
) -> Algorithms:
    """Let convolutions take the algorithms that are recorded or, without a record, pay; in all processes alike.

    With `precise` they have the usual one. A measurement may choose differently the next time.
    """
    if device.kind != "cpu" or device.precise or recorded == {}:
        return {}
    uses = find_uses(network, device, dataset.shape)
    if recorded is None:
        start, measured = perf_counter(), dict[str, Algorithm]()
        if processes.is_first:
            with on_own_core():
                measured = measure_algorithms(uses, device, device.layout(network), recipe.batch // processes.count)
        recorded = processes.gather(measured)[0]
        if processes.is_first and (seconds := perf_counter() - start) > _LONG:
            say(f"measuring which algorithms of convolution are fastest took {seconds:.1f} s")
    set_algorithms(uses, recorded, device)
    return recorded


def _record_of(task: Task, class_name: str, command: str) -> RunRecord:
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
        side_by_side={name: count for name, count in task.algorithms.items() if isinstance(count, int)},
        winograd={name: passes for name, passes in task.algorithms.items() if not isinstance(passes, int)},
        torch_compile=task.is_compiled,
        fingerprint=task.dataset.fingerprint,
        digests=digests_of(task.dataset.name),
        skipped_files=task.dataset.skipped,
        trusted_files=task.dataset.trusted,
    )
