"""The run folder: everything that a training leaves behind."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from cldfc.diagnostics import UsageError
from cldfc.files import write_file
from cldfc.train.catalogue import FOLDER, DataSet, find, is_folder
from cldfc.train.compiled import Compiled
from cldfc.train.files import read_text
from cldfc.train.recipe import Recipe


class RunRecord(BaseModel):
    """How a run was made: with the spec beside it, enough to evaluate the run again."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    class_name: str
    """The class of the network in the generated source; also the name of the model."""

    dataset: str
    """The name of the data set."""

    split: str
    """Which images were trained on and which were tested on, in one sentence."""

    input_shape: tuple[int, int, int]
    """Channels, height and width that the network was compiled for, in pixels."""

    classes: int
    """Number of classes that the network was compiled for."""

    recipe: Recipe
    """How it was trained, every default filled in."""

    device: str
    """Processor, precision and memory layout, in words."""

    torch: str
    """The release of torch."""

    command: str = ""
    """What repeats the run on a command line, if it was started on one."""

    class_names: tuple[str, ...] = ()
    """What the classes are called; empty where they have numbers."""

    mean: tuple[float, ...] = ()
    """What was subtracted from each channel; empty in records that leave it to the data set."""

    std: tuple[float, ...] = ()
    """What each channel was then divided by; empty with `mean`."""


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The files of a run, by name."""

    path: Path

    @property
    def spec(self) -> Path:
        """The spec, as it was compiled."""
        return self.path / "spec.cldf"

    @property
    def source(self) -> Path:
        """The generated module; it is for reading, cldfc never runs it."""
        return self.path / "network.py"

    @property
    def record(self) -> Path:
        """How the run was made, a RunRecord."""
        return self.path / "recipe.json"

    @property
    def metrics(self) -> Path:
        """What was measured, a row for each epoch."""
        return self.path / "metrics.csv"

    @property
    def weights(self) -> Path:
        """The weights of the best epoch."""
        return self.path / "best.safetensors"

    @property
    def checkpoints(self) -> Path:
        """What a training is resumed from."""
        return self.path / "checkpoints"

    @property
    def lock(self) -> Path:
        """Held by the process that trains here."""
        return self.checkpoints / "lock"

    @property
    def report(self) -> Path:
        """The run at a glance, for a browser."""
        return self.path / "report.html"


def create_run(folder: Path | None, record: RunRecord, compiled: Compiled) -> RunFolder:
    """A new run folder with spec, source and record; numbered in `runs` when none is given.

    Raises UsageError when the folder exists or cannot be made.
    """
    run = RunFolder(make_folder(folder or free_folder(record.class_name, record.dataset)))
    write_file(run.spec, compiled.spec_text)
    write_file(run.source, compiled.source)
    write_record(run, record)
    return run


def write_record(run: RunFolder, record: RunRecord) -> None:
    """Write down how a run is made. Raises UsageError when that fails."""
    write_file(run.record, record.model_dump_json(indent=2) + "\n")


def make_folder(folder: Path) -> Path:
    """Make a folder that must not exist yet."""
    try:
        folder.mkdir(parents=True)
    except FileExistsError as error:
        raise UsageError(f"`{folder}` exists already", "a run is never overwritten: give another folder") from error
    except OSError as error:
        raise UsageError(f"cannot make the folder `{folder}`: {error.strerror}", "give another folder") from error
    return folder


def free_folder(class_name: str, dataset: str) -> Path:
    """The first of `runs/<model>-<dataset>-1`, `-2`, ... that is not there; of a path its last name is taken."""
    name = Path(dataset.removeprefix(FOLDER)).absolute().name if is_folder(dataset) else dataset
    stem = re.sub(r"[^\w.-]+", "-", f"{class_name}-{name}")
    return next(path for number in count(1) if not (path := Path("runs", f"{stem}-{number}")).exists())


def read_record(run: RunFolder) -> RunRecord:
    """How a run was made; raises UsageError when the file is missing or holds anything else."""
    text = read_text(run.record)
    try:
        return RunRecord.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise UsageError(
            f"`{run.record}` is not the record of a run: {where}: {first['msg']}",
            "it may have been edited, or written by another release of cldfc",
        ) from error


def recorded_dataset(record: RunRecord) -> DataSet:
    """The data set that a run was trained on, standardised as it was then.

    Raises UsageError when it is no longer there, or has other classes now.
    """
    dataset = find(record.dataset, record.input_shape)
    if is_folder(record.dataset) and dataset.class_names != record.class_names:
        other = sorted({*dataset.class_names} ^ {*record.class_names})
        raise UsageError(
            f"`{record.dataset}` has other classes now than when the run was trained: {', '.join(other)}",
            "make its class folders what they were, or start another run",
        )
    standard = {"mean": record.mean, "std": record.std}
    return dataset.model_copy(update=standard) if record.mean else dataset
