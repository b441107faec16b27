"""Tests the network of a run folder again, and compares with what the run recorded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import torch
from torch import nn

from cldfc.diagnostics import UsageError
from cldfc.train.catalogue import DATA_DIR, DataSet, find
from cldfc.train.files import read_text
from cldfc.train.freeze import freeze
from cldfc.train.images import standardise
from cldfc.train.loop import Task
from cldfc.train.metrics import Epoch, best_epoch, read_epochs
from cldfc.train.network import build_network, check_fit
from cldfc.train.recipe import Recipe, change_recipe
from cldfc.train.run import RunFolder, RunRecord, read_record, recorded_dataset
from cldfc.train.score import Score, score_network
from cldfc.train.train import prepare
from cldfc.train.weights import load_weights

BATCH = 128
"""Images at a time, where nothing has to be as in training; on a CPU more are not faster."""

NetworkOf = Callable[[RunFolder, RunRecord], nn.Module]
"""Gives the network of a run, with its best weights."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The score of the best weights of a run on test images, and what the run recorded."""

    record: RunRecord
    """How the run was made."""

    dataset: DataSet
    """Whose test images they are."""

    recorded: Epoch | None
    """The best epoch; None on test images of another data set."""

    score: Score
    """What was found."""

    device: str
    """Processor, precision, and what was done to the network, in words."""

    seconds: float
    """Wall-clock time of the test; compiling, and the first batch, come before it."""

    @property
    def agrees(self) -> bool:
        """Whether the accuracy is exactly the recorded one."""
        return self.recorded is not None and self.score.accuracy == self.recorded.test_accuracy

    @property
    def gained(self) -> int:
        """How many more images are classified correctly than the run recorded; negative where they are fewer."""
        if self.recorded is None:
            return 0
        return round((self.score.accuracy - self.recorded.test_accuracy) * self.score.images)


def evaluate_run(
    folder: Path, source_for: Callable[[str, RunRecord], str], data_dir: Path = DATA_DIR, data: str | None = None
) -> Evaluation:
    """Test the best weights of a run in the way the run did, on its data set unless `data` names another one.

    `source_for` compiles the spec in the folder for the recorded data set: the folder may come
    from somebody else, so the source stored in it is not run. The accuracy is the recorded one
    exactly on the same device. Raises UsageError when the folder is not that of a run, or the data
    set does not fit or is not in `data_dir`.
    """
    run = RunFolder(folder)
    record = read_record(run)
    dataset, recorded = tested_on(run, record, data)
    network = build_network(source_for(read_text(run.spec), record), record.class_name)
    check_fit(network, dataset)
    load_weights(network, run.weights)
    task = prepare(network, dataset, tested_with(record, recorded), data_dir)
    return measure(task, record, recorded, f"{task.device}")


def evaluate_fast(
    folder: Path,
    network_of: NetworkOf,
    data_dir: Path = DATA_DIR,
    data: str | None = None,
    is_compiled: bool = False,
) -> Evaluation:
    """The same with a folded network, as fast as the device allows; the last bits, and so a few images, may differ.

    With `is_compiled`, torch.compile takes half a minute first. Raises what `evaluate_run` does, and UsageError
    when torch.compile fails.
    """
    run = RunFolder(folder)
    record = read_record(run)
    dataset, recorded = tested_on(run, record, data)
    network = network_of(run, record)
    check_fit(network, dataset)
    task = prepare(network, dataset, change_recipe(tested_with(record, recorded), {"batch": BATCH}), data_dir)
    how = f"{task.device}, folded"
    if not is_compiled:
        return measure(task, record, recorded, how)
    return measure(task, record, recorded, f"{how}, compiled", freeze(task.network, task.device, BATCH, dataset.shape))


def tested_on(run: RunFolder, record: RunRecord, data: str | None) -> tuple[DataSet, Epoch | None]:
    """The data set of a test, and the run's best epoch if it is the run's own."""
    trained = recorded_dataset(record)
    if data is None or data == record.dataset:
        return trained, best_epoch(read_epochs(run.metrics))
    return standardised_as(trained, find(data, record.input_shape)), None


def tested_with(record: RunRecord, recorded: Epoch | None) -> Recipe:
    """The recipe of a test; of another data set than the run's all images are taken."""
    return record.recipe if recorded else change_recipe(record.recipe, {"images": None})


def standardised_as(trained: DataSet, tested: DataSet) -> DataSet:
    """A data set, standardised as the one that a network was trained on. Raises UsageError unless it fits."""
    if (tested.shape, tested.classes) != (trained.shape, trained.classes):
        raise UsageError(
            f"`{tested.name}` has {in_words(tested)}, and the run was trained on {in_words(trained)}",
            "name a data set whose images and classes are those of the run's",
        )
    scale = tested.brightest / trained.brightest
    mean, std = (tuple(scale * value for value in values) for values in (trained.mean, trained.std))
    return tested.model_copy(update={"mean": mean, "std": std})


def in_words(dataset: DataSet) -> str:
    """`images of 3 × 32 × 32 in 10 classes`."""
    return f"images of {' × '.join(map(str, dataset.shape))} in {dataset.classes:,} classes"


@torch.inference_mode()
def measure(
    task: Task, record: RunRecord, recorded: Epoch | None, device: str, network: nn.Module | None = None
) -> Evaluation:
    """The score of a network on the test images of a task, and the time that takes."""
    network = (network or task.network).eval()
    first = torch.zeros(task.recipe.batch, *task.dataset.shape, device=task.device.torch)
    with task.device.switches():
        task.device.scores(network, standardise(first, task.dataset))
        began = perf_counter()
        score = score_network(network, task.loader.test_batches(), task.dataset, task.device)
    return Evaluation(record, task.dataset, recorded, score, device, perf_counter() - began)
