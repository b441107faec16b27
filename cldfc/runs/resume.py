"""Continues a training that was stopped, from the newest intact checkpoint of its folder."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save
from torch.optim import Optimizer

from cldfc.data.catalogue import with_holdout
from cldfc.data.data_set import DataSet, told_of
from cldfc.diagnostics import UsageError
from cldfc.files import LARGEST_TENSORS, half_written, read_file, read_text, refusing
from cldfc.recipe import Recipe, change_recipe, other_fields
from cldfc.runs.environment import Environment, read_environment
from cldfc.runs.journal import TrainingSetting
from cldfc.runs.lock import locked
from cldfc.runs.recorded_data import may_have_moved, recorded_dataset, remarks_on
from cldfc.runs.run_folder import (
    DECISIVE,
    RunFolder,
    RunRecord,
    check_seal,
    read_record,
    seal_run,
    write_record,
    write_sealed,
)
from cldfc.runs.training_run import Result, prepare_training, train_on
from cldfc.training.checkpoint_folder import (
    Checkpoint,
    Damaged,
    Torn,
    UnreadableCheckpoint,
    find_checkpoint,
    free_path,
    list_checkpoints,
    name_of_chosen,
    put_later_ones_away,
    read_checkpoint,
    remove_old,
)
from cldfc.training.metrics import BEGINNING, Choice, TrainingPosition, as_csv, is_complete
from cldfc.training.state import restore_generators, restore_tensors, spec_digest, weights_of
from cldfc.training.step import make_optimizer
from cldfc.training.task import Task
from cldfc.weights.compiled import Compiled
from cldfc.weights.network import HELP

_Warn = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class _Interrupted:
    """A run to go on with: its folder, what it records, its data set, its spec, and what is to be said of its files."""

    run: RunFolder
    record: RunRecord
    dataset: DataSet
    spec_text: str
    remarks: Sequence[str] = ()


def read_interrupted(folder: Path, fields: Mapping[str, object]) -> _Interrupted:
    """The run in a folder. Raises UsageError when there is none, or a change contradicts it.

    `fields` are fields of the recipe, and `dataset`. Only `epochs` may differ, and only grow, and only
    where the learning rate of a step does not depend on how many epochs there are; and `dataset` may name images of
    one's own that have moved.
    """
    run = RunFolder(folder)
    record = read_record(run)
    # The weights of a checkpoint replace those beside it.
    remarks = check_seal(folder, [name for name in DECISIVE if name != run.weights.name])
    name = str(fields.get("dataset", record.dataset))
    for field, value in fields.items():
        recorded = record.dataset if field == "dataset" else getattr(record.recipe, field)
        if value != recorded and field != "epochs" and not (field == "dataset" and may_have_moved(record, name)):
            raise UsageError(
                f"`{run.path}` was started with {field.replace('_', ' ')} {recorded}, not {value}",
                "leave the option out, or start another run",
            )
    dataset = recorded_dataset(record, name)
    remarks += remarks_on(record, name)
    if name != record.dataset:
        split = with_holdout(told_of(dataset, record.recipe), record.recipe).split
        record = record.model_copy(update={"dataset": name, "split": split})
        if not record.digests:
            remarks.append(f"that `{name}` holds the images the run was trained on is not known, only their classes")
    recipe = _more_epochs(record.recipe, fields.get("epochs", record.recipe.epochs))
    changed = record.model_copy(update={"recipe": recipe})
    return _Interrupted(run=run, record=changed, dataset=dataset, spec_text=read_text(run.spec), remarks=remarks)


def _more_epochs(recipe: Recipe, epochs: object) -> Recipe:
    """The recipe with more epochs. Raises UsageError when that would change the steps already done."""
    changed = change_recipe(recipe, {"epochs": epochs})
    if changed.epochs < recipe.epochs:
        raise UsageError(f"the run has {recipe.epochs} epochs, not {epochs}", "epochs can only be added")
    if changed != recipe and (recipe.schedule != "step" or recipe.warmup):
        raise UsageError(
            f"a run of {recipe.epochs} epochs cannot become one of {epochs}: "
            "its learning rate depends on the number of epochs from the first step on",
            "leave `--epochs` out, or start another run",
        )
    return changed


def resume_network(
    interrupted: _Interrupted,
    compiled: Compiled,
    warn: _Warn,
    setting: TrainingSetting | None = None,
    from_start: bool = False,
) -> Result:
    """Go on with a run as if it had never been interrupted: on the same machine, with the same bits on a CPU.

    `compiled` comes from the spec in the folder: what is stored beside it is not run. `warn` hears of damaged
    checkpoints, and of whatever may change bits. With `from_start` it is trained from the beginning, and what it had
    reached is moved into a folder `before`. Raises what `train_network` raises, and UsageError without a checkpoint.
    """
    run, record, dataset = interrupted.run, interrupted.record, interrupted.dataset
    setting = setting or TrainingSetting()
    processes = setting.processes
    for remark in interrupted.remarks:
        warn(remark)
    with locked(run) if processes.is_first else nullcontext() as lock:
        task = prepare_training(compiled, dataset, record.recipe, setting, record)
        optimizer = make_optimizer(task.network, record.recipe)
        # Everything that may refuse the run comes before anything is moved.
        before = read_environment(run.environment) if processes.is_first else Environment()
        if from_start and processes.is_first:
            _set_aside(run, warn)
        processes.gather(None)
        start = _go_back(task, optimizer, run, record, warn)
        record = _with_choice(record, task, start, warn)
        if processes.is_first:
            _write_kept(run, record, start, warn)
        return train_on(task, optimizer, run, record, compiled, start, setting, before, lock)


def _go_back(task: Task, optimizer: Optimizer, run: RunFolder, record: RunRecord, warn: _Warn) -> TrainingPosition:
    """Bring everything into the state of the newest intact checkpoint, in all processes the same. Raises UsageError."""
    checkpoint, wrong = find_checkpoint(run.checkpoints)
    _refuse_loss(run, checkpoint, wrong)
    for path, error in wrong.items():
        warn(f"the checkpoint `{path}` is damaged: {error}; the one before it is used")
    if len(set(task.processes.gather(checkpoint and checkpoint.path.name))) > 1:
        help = "the run folder must be the same for all of them, on a file system that all machines share"
        raise UsageError(f"the processes do not find the same checkpoint in `{run.path}`", help)
    if checkpoint is None:
        warn(f"`{run.path}` has no checkpoint yet: it is trained from the beginning")
        return BEGINNING
    _refuse_other_origin(task, checkpoint)
    _warn_of_differences(task, record, checkpoint, warn)
    restore_tensors(task.network, optimizer, checkpoint.tensors, checkpoint.path)
    if len(checkpoint.saved.generators) == task.processes.count:
        try:
            restore_generators(checkpoint.saved.generators[task.processes.rank])
        except ValueError as error:
            raise UsageError(f"`{checkpoint.path}` holds {error}", HELP) from error
    return checkpoint.saved.position


def _refuse_other_origin(task: Task, checkpoint: Checkpoint) -> None:
    """Raises UsageError when a checkpoint is from the training of another spec, or by another recipe."""
    saved = checkpoint.saved
    spec = task.compiled.spec_text if task.compiled else ""
    # Epochs may have been added.
    others = other_fields({**saved.recipe, "epochs": task.recipe.epochs}, task.recipe)
    if saved.spec and saved.spec != spec_digest(spec):
        others = ["another `spec.cldf`", *others]
    if others:
        raise UsageError(
            f"the checkpoint `{checkpoint.path}` is from a training with {'; '.join(others)}",
            "make `spec.cldf` and `recipe.json` what they were, or start another run",
        )


def _refuse_loss(run: RunFolder, newest: Checkpoint | None, wrong: Mapping[Path, Damaged]) -> None:
    """Raises UsageError where going on would lose something: a later checkpoint cannot be read, or none is intact."""
    anew = f"`cldfc train --resume {run.path} --from-start` trains from the beginning and moves what is there aside"
    if unreadable := [
        f"{path.name}: {error}" for path, error in wrong.items() if isinstance(error, UnreadableCheckpoint)
    ]:
        raise UsageError(
            f"`{run.path}` has checkpoints that cannot be read:",
            f"let them be read, by the release of cldfc that wrote them, or move them away; {anew}",
            unreadable,
        )
    if newest is not None:
        return
    if damaged := [f"{path.name}: {error}" for path, error in wrong.items() if not isinstance(error, Torn)]:
        raise UsageError(f"`{run.path}` has no intact checkpoint:", anew, damaged)
    reached = [path.name for path in (run.metrics, run.weights) if path.exists()]
    if reached:
        raise UsageError(f"`{run.path}` has no checkpoint, but has reached `{reached[0]}`", anew)


def _set_aside(run: RunFolder, warn: _Warn) -> None:
    """Move what a run has reached into a folder of its own. Raises UsageError."""
    reached = [run.metrics, run.weights, run.report, run.divergence, *list_checkpoints(run.checkpoints)]
    there = [path for path in reached if path.is_symlink() or path.exists()]
    if not there:
        return
    folder = free_path(run.path / "before")
    with refusing(f"what `{run.path}` has reached cannot be moved to `{folder}`", "let it be written"):
        folder.mkdir()
        for path in there:
            path.rename(folder / path.name)
    warn(f"what `{run.path}` had produced was moved to `{folder}`")


def _with_choice(record: RunRecord, task: Task, start: TrainingPosition, warn: _Warn) -> RunRecord:
    """The record, with no further epoch chosen by its test, as earlier releases did. Raises UsageError."""
    if record.chosen_by == task.choice or is_complete(start.epochs, record.recipe):
        return record
    if record.chosen_by != "test":
        had, has = ("", "none") if record.chosen_by == "validation" else ("out", "some")
        raise UsageError(
            f"the run was trained with{had} images for validation, and `{record.dataset}` has {has} now",
            "make the data set what it was, or start another run",
        )
    kept = "those of the last epoch" if task.choice == "last" else "chosen by validation"
    warn(f"an earlier release chose the weights of this run by the test images: from now on they are {kept}")
    return record.model_copy(update={"chosen_by": task.choice})


def _write_kept(run: RunFolder, record: RunRecord, position: TrainingPosition, warn: _Warn) -> None:
    """Let the files of a run be those up to a position; what a killed process was just writing or removing goes."""
    try:
        for name in filter(half_written(path.name for path in run.files).fullmatch, os.listdir(run.path)):
            (run.path / name).unlink()
        put_later_ones_away(run.checkpoints, position)
        if position != BEGINNING:
            remove_old(run.checkpoints, position, record.chosen_by)
    except OSError as error:
        warn(f"`{error.filename}` is no longer needed, but cannot be removed: {error.strerror}")
    if not run.seal.exists():
        seal_run(run.path)
    write_record(run, record)
    if position.epochs:
        write_sealed(run.path, {run.metrics.name: as_csv(position.epochs).encode()})
        _restore_chosen(run, position, record.chosen_by, warn)


def _warn_of_differences(task: Task, record: RunRecord, checkpoint: Checkpoint, warn: _Warn) -> None:
    pairs = (
        ("torch", record.torch, torch.__version__),
        ("device", record.device, str(task.device)),
        ("step", *("compiled" if is_so else "not compiled" for is_so in (_was_compiled(record), task.is_compiled))),
        ("number of processes", str(len(checkpoint.saved.generators)), str(task.processes.count)),
        ("number of threads", str(checkpoint.saved.threads), str(torch.get_num_threads())),
    )
    if record.split != task.dataset.split and not record.digests:
        warn(f"the images are others: {record.split} Now: {task.dataset.split}")
    for name, before, now in pairs:
        if before != now:
            warn(f"the {name} was {before} and is {now} now: the weights may differ in their last bits")


def _was_compiled(record: RunRecord) -> bool:
    """Whether steps went through torch.compile; earlier releases say so by the recipe alone."""
    return record.torch_compile or record.recipe.compile == "on"


def _restore_chosen(run: RunFolder, position: TrainingPosition, choice: Choice, warn: _Warn) -> None:
    """Let the weights of the chosen epoch be those up to the position."""
    path = run.checkpoints / str(name_of_chosen(position, choice))
    try:
        weights = save(weights_of(read_checkpoint(path).tensors))
    except Damaged as error:
        warn(f"`{run.weights}` cannot be compared with `{path}`: {error}")
        return
    if not run.weights.exists() or read_file(run.weights, largest=LARGEST_TENSORS) != weights:
        write_sealed(run.path, {run.weights.name: weights})
