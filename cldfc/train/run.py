"""The run folder: everything that a training leaves behind."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from secrets import token_hex
from shutil import rmtree
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from cldfc.diagnostics import UsageError, nearest
from cldfc.train.catalogue import is_own, path_of
from cldfc.train.compiled import Compiled
from cldfc.train.data_set import check_figures, check_names, check_shape
from cldfc.train.files import HELP, check_format, read_text, refuse_link
from cldfc.train.metrics import Choice
from cldfc.train.recipe import Recipe
from cldfc.train.seal import SEAL, write_sealed
from cldfc.validation import first_error

Note = Callable[[Path | None], None]

FORMAT = 1
"""Of a run folder; one whose record does not say it has the first."""

RUNS = "runs"
"""Where runs are, unless another folder is named."""

LONGEST_NAME = 200
"""Bytes of a name; file systems allow 255, and a new folder has a longer one for a moment."""

SOME = 3
"""Runs that a help names."""


class RunRecord(BaseModel):
    """How a run was made: with the spec beside it, enough to evaluate the run again."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    format: int = Field(default=FORMAT, ge=1, le=FORMAT)
    """Of the run folder."""

    class_name: str
    """The class of the network in the generated source; also the name of the model."""

    dataset: str
    """The name of the data set."""

    split: str
    """Which images were trained on and which were tested on, in one sentence."""

    input_shape: tuple[int, int, int]
    """Channels, height and width that the network was compiled for, in pixels."""

    classes: int = Field(ge=1)
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

    chosen_by: Choice = "test"
    """How the epoch is chosen whose weights are saved; earlier releases, which do not say it, looked at the test."""

    fingerprint: str = ""
    """That of the images, where the names of their files say how they are divided."""

    digests: tuple[str, ...] = ()
    """What images of one's own are known by, wherever they lie: one for each class folder, one for IDX files."""

    skipped_files: tuple[str, ...] = ()
    """Images in class folders that could not be read, and were left out: `--skip-unreadable`."""

    trusted_files: tuple[str, ...] = ()
    """The SHA-256 of files that are not the published ones, and were read all the same: `--trust-files`."""

    @model_validator(mode="after")
    def is_of_one_piece(self) -> Self:
        """Images can be standardised by the figures, where there are any, and each class has a name, or none has."""
        check_shape(self.input_shape)
        if self.mean or self.std:
            check_figures(self.mean, self.std, self.input_shape[0])
        check_names(self.class_names, self.classes)
        return self


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
    def environment(self) -> Path:
        """What it was trained with, an Environment."""
        return self.path / "environment.json"

    @property
    def metrics(self) -> Path:
        """What was measured, a row for each epoch."""
        return self.path / "metrics.csv"

    @property
    def weights(self) -> Path:
        """The weights of the chosen epoch."""
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
    def seal(self) -> Path:
        """The SHA-256 of what decides what the run is, and of its metrics."""
        return self.path / SEAL

    @property
    def report(self) -> Path:
        """The run at a glance, for a browser; written anew after every epoch."""
        return self.path / "report.html"

    @property
    def divergence(self) -> Path:
        """Says that the training has diverged, and where, if it has."""
        return self.path / "diverged.txt"

    @property
    def tensorboard(self) -> Path:
        """What was measured, for TensorBoard, where that was asked for."""
        return self.path / "tensorboard"


def create_run(
    folder: Path | None, record: RunRecord, compiled: Compiled, note: Note = lambda folder: None
) -> RunFolder:
    """A new run folder with spec, source and record, which appears as a whole; numbered in `runs` when none is given.

    `note` hears its name before it exists, and None where somebody else was faster.
    Raises UsageError when the folder exists or cannot be made.
    """
    for path in [folder] if folder else numbered(record.class_name, record.dataset):
        if os.path.lexists(path):
            continue
        note(path)
        aside = write_aside(path, record, compiled)
        if give_name(aside, path):
            return RunFolder(path)
        note(None)
    raise taken(folder)


def refuse_taken(folder: Path | None) -> None:
    """Raises UsageError when the folder that a run is to have is there."""
    if folder is not None and os.path.lexists(folder):
        raise taken(folder)


def taken(folder: Path | None) -> UsageError:
    """The error for a run that would overwrite something."""
    return UsageError(f"`{folder}` exists already", "a run is never overwritten: give another folder or `--name`")


def folder_of(output: Path | None, name: str | None) -> Path | None:
    """The run folder that is asked for, by its path or its name. Raises UsageError."""
    if name is None:
        return output
    if output is not None:
        raise UsageError("`name` and `output` both say where the run goes", "give one of them")
    return named(name)


def named(name: str) -> Path:
    """The folder of a run by its name. Raises UsageError when that is no name of a folder."""
    if not name or name in (".", "..") or len(name.encode(errors="replace")) > LONGEST_NAME:
        raise UsageError(f"`{name}` cannot be the name of a run", f"write a word of at most {LONGEST_NAME} bytes")
    if wrong := next((letter for letter in name if letter in "/\\" or not letter.isprintable()), None):
        where = "; `-o FOLDER` takes a path" if wrong in "/\\" else ""
        raise UsageError(f"`{name}` cannot be the name of a run: it has `{wrong}`", f"leave it out{where}")
    if name[0] in ".-":
        raise UsageError(f"`{name}` cannot be the name of a run", f"let it begin with another sign than `{name[0]}`")
    return Path(RUNS, name)


def numbered(class_name: str, dataset: str) -> Iterator[Path]:
    """The folders `runs/<model>-<dataset>-1`, `-2`, ...; of a path its last name is taken."""
    name = Path(path_of(dataset)).absolute().name if is_own(dataset) else dataset
    stem = re.sub(r"[^\w.-]+", "-", f"{class_name}-{name}")
    return (Path(RUNS, f"{stem}-{number}") for number in count(1))


def write_aside(folder: Path, record: RunRecord, compiled: Compiled) -> Path:
    """Write a new run into a folder beside its own, under a name that is free. Raises UsageError."""
    run = RunFolder(folder.with_name(f".{folder.name}.{token_hex(4)}.part"))
    try:
        run.path.mkdir(parents=True)
        texts = {run.spec: compiled.spec_text, run.source: compiled.source, run.record: record_as_text(record)}
        write_sealed(run.path, {path.name: text.encode() for path, text in texts.items()})
    except OSError as error:
        raise cannot_make(folder, error) from error
    except UsageError as error:
        rmtree(run.path, ignore_errors=True)
        raise UsageError(f"cannot make the folder `{folder}`: {error.message}", error.help) from error
    return run.path


def give_name(aside: Path, folder: Path) -> bool:
    """Rename a folder, unless another one of that name has come up: whether that was done. Raises UsageError."""
    try:
        aside.rename(folder)
    except OSError as error:
        rmtree(aside, ignore_errors=True)
        if not os.path.lexists(folder):
            raise cannot_make(folder, error) from error
        return False
    return True


def cannot_make(folder: Path, error: OSError) -> UsageError:
    """The error for a run folder that cannot be made."""
    return UsageError(f"cannot make the folder `{folder}`: {error.strerror}", "give another folder")


def refuse_links(run: RunFolder) -> None:
    """Raises UsageError when anything that a training writes in a run folder is a link, or no file."""
    files = (
        run.spec,
        run.source,
        run.record,
        run.environment,
        run.metrics,
        run.weights,
        run.report,
        run.divergence,
        run.seal,
    )
    for path in files:
        refuse_link(path)
    for folder in (run.checkpoints, run.tensorboard):
        refuse_link(folder, is_folder=True)
    refuse_link(run.lock)


def write_record(run: RunFolder, record: RunRecord) -> None:
    """Write down how a run is made. Raises UsageError when that fails."""
    write_sealed(run.path, {run.record.name: record_as_text(record).encode()})


def record_as_text(record: RunRecord) -> str:
    """What stands in the file of a record."""
    return record.model_dump_json(indent=2) + "\n"


def free_folder(class_name: str, dataset: str) -> Path:
    """The first folder of `numbered` that is not there."""
    return next(path for path in numbered(class_name, dataset) if not os.path.lexists(path))


def is_run(path: Path) -> bool:
    """Whether a folder holds what a training leaves behind."""
    run = RunFolder(path)
    return os.path.lexists(run.record) or os.path.lexists(run.metrics)


def no_run(path: Path) -> UsageError:
    """The error for a path that is not that of a run; its help names the run, or the runs, that may be meant."""
    for folder in list(path.absolute().parents)[:3]:
        if is_run(folder):
            return UsageError(f"`{path}` is in the folder of a run", f"give the folder: `{shortest(folder)}`")
    if not os.path.lexists(path):
        beside = {other.name: str(other) for other in runs_in(path.parent)}
        close = nearest(path.name, beside)
        help = f"did you mean `{beside[close]}`?" if close else HELP
        return UsageError(
            f"there is no folder `{path}`", f"{help}{'; `cldfc runs` lists those in `runs`' * (not close)}"
        )
    if not path.is_dir():
        return UsageError(f"`{path}` is not a run folder", HELP)
    inside = [str(run) for run in runs_in(path)]
    if inside:
        some = ", ".join(f"`{run}`" for run in inside[:SOME])
        held = f"it holds {len(inside):,} run{'s' * (len(inside) > 1)}"
        return UsageError(f"`{path}` is not a run folder: {held}", f"give {some}{', …' * (len(inside) > SOME)}")
    return UsageError(f"`{path}` is not a run folder: it has no `{RunFolder(path).record.name}`", HELP)


def runs_in(folder: Path) -> list[Path]:
    """The run folders in a folder, in the order of their names; none where there is no such folder."""
    try:
        return sorted(path for path in folder.iterdir() if is_run(path) and path.name[0] != ".")
    except OSError:
        return []


def shortest(folder: Path) -> Path:
    """An absolute path, or its rest where it is in the working folder."""
    here = Path.cwd()
    return folder.relative_to(here) if folder.is_relative_to(here) else folder


def read_record(run: RunFolder) -> RunRecord:
    """How a run was made; raises UsageError when there is no run, or the file holds anything else."""
    if not is_run(run.path):
        raise no_run(run.path)
    text = read_text(run.record)
    check_format(text, FORMAT, run.record)
    try:
        return RunRecord.model_validate_json(text)
    except ValidationError as error:
        where, _, reason = first_error(error)
        raise UsageError(
            f"`{run.record}` is not the record of a run: {where and f'`{where}`: '}{reason}",
            "it may have been edited, or written by another release of cldfc",
        ) from error
