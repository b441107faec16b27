"""Tests the network of a run folder again, and compares with what the run recorded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter

import torch
from torch import nn

from cldfc.data.catalogue import DATA_DIR, find, path_of
from cldfc.data.data_set import DataSet
from cldfc.data.images import standardise, trust_files
from cldfc.device import on_device, settled
from cldfc.diagnostics import UsageError, shape_text
from cldfc.files import read_text
from cldfc.recipe import Part, Recipe, change_recipe
from cldfc.runs.recorded_data import (
    changes_since,
    described_dataset,
    digests_of,
    may_have_moved,
    recorded_dataset,
    refuse_other_classes,
)
from cldfc.runs.run_folder import RunFolder, RunRecord, check_seal, read_record
from cldfc.runs.training_run import prepare
from cldfc.training.metrics import Epoch, chosen_epoch, read_epochs
from cldfc.training.processes import ALONE
from cldfc.training.step import Score, score_network
from cldfc.weights.inference import freeze
from cldfc.weights.network import check_fit, load_network

_BATCH = 128
"""Images at a time, where nothing has to be as in training; on a CPU more are not faster."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The score of the weights of a run on the images of a part, and what the run recorded."""

    record: RunRecord
    dataset: DataSet
    """Whose images they are."""
    part: Part
    recorded: Epoch | None
    """The epoch that the weights are from; None on images of another data set."""
    score: Score
    device: str
    """Processor, precision, and what was done to the network, in words."""
    seconds: float
    """Wall-clock time of the test; compiling, and the first batch, come before it."""
    remarks: Sequence[str] = ()
    """Changes to the run's files that do not decide what the run is."""

    @property
    def accuracy(self) -> float:
        return self.score.accuracy

    @property
    def loss(self) -> float:
        return self.score.loss

    @property
    def recorded_accuracy(self) -> float | None:
        """The accuracy that the run recorded; None on images that it was not tested on."""
        return self.recorded and self.recorded.accuracy_on(self.part)

    @property
    def agrees(self) -> bool:
        """Whether the accuracy is exactly the recorded one."""
        return self.score.accuracy == self.recorded_accuracy

    @property
    def gained(self) -> int:
        """How many more images are classified correctly than the run recorded; negative where they are fewer."""
        if self.recorded_accuracy is None:
            return 0
        return round((self.score.accuracy - self.recorded_accuracy) * self.score.images)


@dataclass(frozen=True, slots=True)
class _Tested:
    """A run, what is to be said of its files, and the images that it is tested on."""

    run: RunFolder
    record: RunRecord
    remarks: Sequence[str]
    dataset: DataSet
    recipe: Recipe
    """That of the run, as far as it says which images are tested."""
    part: Part
    recorded: Epoch | None
    """The epoch that the weights are from, if it was tested on the same images."""


def evaluate_run(
    folder: Path,
    source_for: Callable[[str, RunRecord], str],
    data_dir: Path = DATA_DIR,
    data: str | None = None,
    part: Part = "test",
    is_trusting: bool = False,
    device: str | None = None,
    workers: int | None = None,
) -> Evaluation:
    """Test the weights of a run in the way the run did, on its data set unless `data` names another one.

    `source_for` compiles the spec in the folder: the source stored in it may come from somebody else and is not run.
    The accuracy is the recorded one exactly on the same device. With `is_trusting`, files are read that are not the
    published ones. Raises UsageError when the folder is not as its training left it, or the data set does not fit.
    """
    tested = _open_tested(folder, data_dir, data, part, is_trusting)
    source = source_for(read_text(tested.run.spec), tested.record)
    network = load_network(source, tested.record.class_name, tested.dataset, tested.run.weights)
    return _measure(network, tested, data_dir, device, workers)


def evaluate_fast(
    folder: Path,
    network_of: Callable[[RunFolder, RunRecord], nn.Module],
    data_dir: Path = DATA_DIR,
    data: str | None = None,
    is_compiled: bool = False,
    part: Part = "test",
    is_trusting: bool = False,
    device: str | None = None,
    workers: int | None = None,
) -> Evaluation:
    """The same with a folded network, as fast as the device allows; the last bits, and so a few images, may differ.

    With `is_compiled`, torch.compile takes half a minute first. Raises what `evaluate_run` does, and UsageError
    when torch.compile fails.
    """
    tested = _open_tested(folder, data_dir, data, part, is_trusting)
    network = network_of(tested.run, tested.record)
    check_fit(network, tested.dataset)
    faster = replace(tested, recipe=change_recipe(tested.recipe, {"batch": _BATCH}))
    return _measure(network, faster, data_dir, device, workers, ", folded", is_compiled)


def _open_tested(folder: Path, data_dir: Path, data: str | None, part: Part, is_trusting: bool) -> _Tested:
    """A run and the images of a test. Raises UsageError when there is no such part."""
    run = RunFolder(folder)
    record, remarks = read_record(run), check_seal(folder)
    data = record.dataset if data is None else data
    has_moved = may_have_moved(record, data) and record.digests
    if data == record.dataset or (has_moved and digests_of(data) == record.digests):
        recipe, recorded = record.recipe, chosen_epoch(read_epochs(run.metrics), record.chosen_by)
        dataset = recorded_dataset(record, data)
    else:
        # What a run uses and holds out are parts of its own data set.
        recipe, recorded = change_recipe(record.recipe, {"images": None, "holdout": 0}), None
        trained = described_dataset(record) if record.mean else recorded_dataset(record)
        dataset = _standardised_as(trained, _other_dataset(record, data))
    if part == "validation" and not (recipe.holdout or dataset.has_validation):
        raise UsageError(
            f"there are no images for validation in `{dataset.name}`, and the run has held none of them out",
            "leave `--on validation` out; `cldfc train` holds images out with `--holdout 0.1`",
        )
    dataset = trust_files(dataset, data_dir) if is_trusting else dataset
    return _Tested(run, record, remarks, dataset, recipe, part, recorded)


def _other_dataset(record: RunRecord, data: str) -> DataSet:
    """Another data set than that of a run. Raises UsageError when it may hold images that the run was trained on."""
    dataset = find(data, record.input_shape)
    if may_have_moved(record, data):
        refuse_other_classes(record, dataset)
        exchanged, _ = changes_since(record, dataset)
        if exchanged:
            raise UsageError(
                f"`{data}` has the images that the run was trained on in other classes: {'; '.join(exchanged)}",
                "restore the original images",
            )
        if dataset.fingerprint:
            raise UsageError(
                f"`{data}` holds other images than the run was trained on, and the split is random: the run may be "
                "tested on images that it was trained on",
                f"lay those to test on out in `{path_of(data)}/test`, and others in `{path_of(data)}/train`",
            )
    return dataset


def _standardised_as(trained: DataSet, tested: DataSet) -> DataSet:
    """A data set, standardised as the one that a network was trained on. Raises UsageError unless it fits."""
    if (tested.shape, tested.classes) != (trained.shape, trained.classes):
        has, had = (f"images of {shape_text(d.shape)} in {d.classes:,} classes" for d in (tested, trained))
        raise UsageError(
            f"`{tested.name}` has {has}, and the run was trained on {had}",
            "name a data set whose images and classes are those of the run's",
        )
    scale = tested.brightest / trained.brightest
    mean, std = (tuple(scale * value for value in values) for values in (trained.mean, trained.std))
    return tested.model_copy(update={"mean": mean, "std": std})


def _measure(
    network: nn.Module,
    tested: _Tested,
    data_dir: Path,
    device: str | None,
    workers: int | None,
    changes: str = "",
    is_compiled: bool = False,
) -> Evaluation:
    """The score of a network, on a device of that name; `changes` says what was done to it."""
    algorithms = tested.record.algorithms
    with on_device(device):
        task = prepare(network, tested.dataset, tested.recipe, data_dir, ALONE, device, workers, algorithms)
        batch, shape = task.loader.tested, task.dataset.shape
        network = (freeze(task.network, task.device, batch, shape) if is_compiled else task.network).eval()
        with torch.inference_mode(), task.device.switches(), settled():
            # On CUDA it is done when its result is at hand.
            first = torch.zeros(batch, *shape, device=task.device.torch)
            task.device.scores(network, standardise(first, task.dataset)).cpu()
            began = perf_counter()
            score = score_network(network, task.loader.test_batches(tested.part), task.dataset, task.device)
        seconds = perf_counter() - began
    return Evaluation(
        record=tested.record,
        dataset=task.dataset,
        part=tested.part,
        recorded=tested.recorded,
        score=score,
        device=f"{task.device}{changes}{', compiled' * is_compiled}",
        seconds=seconds,
        remarks=tested.remarks,
    )
