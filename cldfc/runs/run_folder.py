"""The run folder: everything that a training leaves behind, and the seal that tells whether it was changed."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import count
from pathlib import Path
from secrets import token_hex
from shutil import rmtree
from typing import Annotated, Self

from pydantic import BaseModel, Field, ValidationError, model_validator

from cldfc.data.catalogue import is_own, path_of
from cldfc.data.data_set import check_description
from cldfc.diagnostics import UsageError, first_error, nearest
from cldfc.files import HELP, LARGEST_TENSORS, check_format, opened, read_text, refuse_link, refusing, write_run_file
from cldfc.recipe import Algorithm, Pass, Recipe
from cldfc.training.metrics import Choice
from cldfc.weights.compiled import Compiled

_SEAL = "SHA256SUMS"
_SEALED = ("spec.cldf", "network.py", "recipe.json", "best.safetensors", "metrics.csv")
DECISIVE = ("spec.cldf", "recipe.json", "best.safetensors")
"""The files that decide what a run is: changed, they are another run."""


def write_sealed(folder: Path, contents: Mapping[str, bytes | memoryview]) -> None:
    """Write files of a run, by name, and seal them. Raises UsageError.

    The seal holds at every moment: while a file is written, it knows the old and the new one.
    """
    known = _read_seal(folder) or {}
    new = {name: (hashlib.sha256(content).hexdigest(),) for name, content in contents.items()}
    _write_seal(folder, {**known, **{name: (*known.get(name, ()), *new[name]) for name in new}})
    for name, content in contents.items():
        write_run_file(folder / name, content)
    _write_seal(folder, {**known, **new})


def seal_run(folder: Path) -> None:
    """Seal the files of a run as they are, such as one of an earlier release. Raises UsageError."""
    _write_seal(folder, {name: (_digest_of_file(folder / name),) for name in _SEALED if (folder / name).exists()})


def _write_seal(folder: Path, sums: Mapping[str, Iterable[str]]) -> None:
    """Write the sums of files, as `sha256sum` writes them."""
    ordered = sorted(sums, key=lambda name: _SEALED.index(name) if name in _SEALED else len(_SEALED))
    lines = dict.fromkeys(f"{digest}  {name}\n" for name in ordered for digest in sums[name])
    write_run_file(folder / _SEAL, "".join(lines))


def _read_seal(folder: Path) -> dict[str, tuple[str, ...]] | None:
    """The sums of the files of a run, by name; None where it has no seal. Raises UsageError when that holds no sums."""
    path = folder / _SEAL
    if not path.exists():
        return None
    sums: dict[str, tuple[str, ...]] = {}
    for line in read_text(path).splitlines():
        digest, _, name = line.partition(" ")
        name = name[1:]
        if len(digest) != 64 or name not in _SEALED:
            raise UsageError(f"`{path}` does not hold the sums of a run's files", _seal_anew(folder))
        sums[name] = (*sums.get(name, ()), digest)
    return sums


def changed_files(folder: Path, names: Iterable[str] = _SEALED) -> list[str] | None:
    """Which of the files of a run are not what was written; None where it has no seal. Raises UsageError.

    A file that is missing is found to be so by whoever reads it.
    """
    sums = _read_seal(folder)
    if sums is None:
        return None
    there = [name for name in names if (folder / name).exists()]
    return [name for name in there if _digest_of_file(folder / name) not in sums.get(name, ())]


def _digest_of_file(path: Path) -> str:
    help = "let it be read, or put back what the training wrote"
    with refusing(f"cannot read `{path}`", help), opened(path, LARGEST_TENSORS) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_seal(folder: Path, decisive: Iterable[str] = DECISIVE, names: Iterable[str] = _SEALED) -> list[str]:
    """Remarks on the files of a run before it is used. Raises UsageError when a decisive one was changed."""
    changed = changed_files(folder, names)
    if changed is None:
        return [f"`{folder}` has no `{_SEAL}`; it is from an earlier release, so changes to its files go unnoticed"]
    refused = [name for name in changed if name in decisive]
    if refused:
        names = " and ".join(f"`{folder / name}`" for name in refused)
        raise UsageError(
            f"{names} {'is' if len(refused) == 1 else 'are'} not what the training wrote", _seal_anew(folder)
        )
    return [f"`{folder / name}` is not what the training wrote" for name in changed]


def _seal_anew(folder: Path) -> str:
    names = " ".join(name for name in _SEALED if (folder / name).exists())
    return f"put back what was there; if the change is intended: `cd {folder} && sha256sum {names} > {_SEAL}`"


_Note = Callable[[Path | None], None]

_FORMAT = 1
"""Of a run folder; one whose record does not say it has the first."""

RUNS = "runs"
"""Where runs are, unless another folder is named."""

_LONGEST_NAME = 200
"""Bytes of a name; file systems allow 255, and a new folder has a longer one for a moment."""

_SOME = 3
"""Runs that a help names."""


_MOST_BESIDE, _MOST_SHAPES = 64, 1_000
"""What the trainer never reaches: images side by side, and shapes of convolutions."""


class RunRecord(BaseModel, frozen=True, extra="forbid"):
    """How a run was made: with the spec beside it, enough to evaluate the run again."""

    format: int = Field(default=_FORMAT, ge=1, le=_FORMAT)
    class_name: str
    """The class of the network in the generated source; also the name of the model."""
    dataset: str
    split: str
    """Which images were trained on and which were tested on, in one sentence."""
    input_shape: tuple[int, int, int]
    """Channels, height and width that the network was compiled for, in pixels."""
    classes: int = Field(ge=1)
    recipe: Recipe
    """How it was trained, every default filled in."""
    device: str
    """Processor, precision and memory layout, in words."""
    torch: str
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
    """Digests of the user's own images, wherever they lie: one for each class folder, one for IDX files."""
    skipped_files: tuple[str, ...] = ()
    """Images in class folders that could not be read, and were left out: `--skip-unreadable`."""
    trusted_files: tuple[str, ...] = ()
    """The SHA-256 of files that are not the published ones, and were read all the same: `--trust-files`."""
    side_by_side: dict[str, Annotated[int, Field(ge=2, le=_MOST_BESIDE)]] = Field(default={}, max_length=_MOST_SHAPES)
    """How many images lie side by side in convolutions of a shape, as was measured; empty in earlier releases."""
    winograd: dict[str, tuple[Pass, ...]] = Field(default={}, max_length=_MOST_SHAPES)
    """The passes of convolutions of a shape by Winograd's method, as was measured; empty in earlier releases."""
    torch_compile: bool = False
    """Whether steps went through torch.compile, as was measured or wished; earlier releases do not say it."""

    @property
    def algorithms(self) -> dict[str, Algorithm]:
        """Those of convolutions, by their shapes; others had the usual one."""
        return {**self.side_by_side, **self.winograd}

    @model_validator(mode="after")
    def is_of_one_piece(self) -> Self:
        figures = {"mean": self.mean, "std": self.std} if self.mean or self.std else {}
        check_description(self.input_shape, figures, self.class_names, self.classes)
        return self


class RunFolder:
    """The files of a run, by name."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.spec = path / "spec.cldf"
        # For reading: cldfc never runs it.
        self.source = path / "network.py"
        self.record = path / "recipe.json"
        self.environment = path / "environment.json"
        self.metrics = path / "metrics.csv"
        # Those of the chosen epoch.
        self.weights = path / "best.safetensors"
        self.checkpoints = path / "checkpoints"
        # Held by the process that trains here.
        self.lock = self.checkpoints / "lock"
        self.seal = path / _SEAL
        self.report = path / "report.html"
        # Says that the training has diverged, and where, if it has.
        self.divergence = path / "diverged.txt"
        # Where that was asked for.
        self.tensorboard = path / "tensorboard"

    @property
    def files(self) -> Sequence[Path]:
        """Those that a training writes into the folder itself."""
        told = (self.environment, self.metrics, self.weights, self.report, self.divergence)
        return (self.spec, self.source, self.record, *told, self.seal)


def create_run(
    folder: Path | None, record: RunRecord, compiled: Compiled, note: _Note = lambda folder: None
) -> RunFolder:
    """A new run folder with spec, source and record, which appears as a whole; numbered in `runs` when none is given.

    `note` hears its name before it exists, and None where somebody else was faster. Raises UsageError.
    """
    for path in [folder] if folder else _numbered_folders(record.class_name, record.dataset):
        if os.path.lexists(path):
            continue
        note(path)
        aside = _write_aside(path, record, compiled)
        if rename_aside(aside, path):
            return RunFolder(path)
        note(None)
    raise _taken(folder)


def refuse_taken(folder: Path | None) -> None:
    if folder is not None and os.path.lexists(folder):
        raise _taken(folder)


def _taken(folder: Path | None) -> UsageError:
    return UsageError(f"`{folder}` exists already", "a run is never overwritten: give another folder or `--name`")


def asked_folder(output: Path | None, name: str | None) -> Path | None:
    if name is None:
        return output
    if output is not None:
        raise UsageError("`name` and `output` both say where the run goes", "give one of them")
    return folder_named(name)


def folder_named(name: str) -> Path:
    """The folder of a run by its name. Raises UsageError when that is no name of a folder."""
    if not name or name in (".", "..") or len(name.encode(errors="replace")) > _LONGEST_NAME:
        raise UsageError(f"`{name}` cannot be the name of a run", f"write a word of at most {_LONGEST_NAME} bytes")
    if wrong := next((letter for letter in name if letter in "/\\" or not letter.isprintable()), None):
        where = "; `-o FOLDER` takes a path" if wrong in "/\\" else ""
        raise UsageError(f"`{name}` cannot be the name of a run: it has `{wrong}`", f"leave it out{where}")
    if name[0] in ".-":
        raise UsageError(f"`{name}` cannot be the name of a run", f"let it begin with another sign than `{name[0]}`")
    return Path(RUNS, name)


def _numbered_folders(class_name: str, dataset: str) -> Iterator[Path]:
    """The folders `runs/<model>-<dataset>-1`, `-2`, ...; of a path its last name is taken."""
    name = Path(path_of(dataset)).absolute().name if is_own(dataset) else dataset
    stem = re.sub(r"[^\w.-]+", "-", f"{class_name}-{name}")
    return (Path(RUNS, f"{stem}-{number}") for number in count(1))


def _write_aside(folder: Path, record: RunRecord, compiled: Compiled) -> Path:
    """Write a new run into a folder beside its own, under a name that is free. Raises UsageError."""
    run = RunFolder(folder.with_name(f".{folder.name}.{token_hex(4)}.part"))
    try:
        run.path.mkdir(parents=True)
        texts = {run.spec: compiled.spec_text, run.source: compiled.source, run.record: _record_as_text(record)}
        write_sealed(run.path, {path.name: text.encode() for path, text in texts.items()})
    except OSError as error:
        raise _cannot_make(folder, error) from error
    except UsageError as error:
        rmtree(run.path, ignore_errors=True)
        raise UsageError(f"cannot make the folder `{folder}`: {error.message}", error.help) from error
    return run.path


def rename_aside(aside: Path, folder: Path) -> bool:
    """Rename a folder, unless another one of that name has come up: whether that was done. Raises UsageError."""
    try:
        aside.rename(folder)
    except OSError as error:
        rmtree(aside, ignore_errors=True)
        if not os.path.lexists(folder):
            raise _cannot_make(folder, error) from error
        return False
    return True


def _cannot_make(folder: Path, error: OSError) -> UsageError:
    return UsageError(f"cannot make the folder `{folder}`: {error.strerror}", "give another folder")


def refuse_links(run: RunFolder) -> None:
    """Raises UsageError when anything that a training writes in a run folder is a link, or no file."""
    for path in run.files:
        refuse_link(path)
    for folder in (run.checkpoints, run.tensorboard):
        refuse_link(folder, is_folder=True)
    refuse_link(run.lock)


def write_record(run: RunFolder, record: RunRecord) -> None:
    write_sealed(run.path, {run.record.name: _record_as_text(record).encode()})


def _record_as_text(record: RunRecord) -> str:
    return record.model_dump_json(indent=2) + "\n"


def free_folder(class_name: str, dataset: str) -> Path:
    return next(path for path in _numbered_folders(class_name, dataset) if not os.path.lexists(path))


def is_run(path: Path) -> bool:
    run = RunFolder(path)
    return os.path.lexists(run.record) or os.path.lexists(run.metrics)


def no_run(path: Path) -> UsageError:
    """The error for a path that is not that of a run; its help names the run, or the runs, that may be meant."""
    for folder in list(path.absolute().parents)[:3]:
        if is_run(folder):
            here = Path.cwd()
            shown = folder.relative_to(here) if folder.is_relative_to(here) else folder
            return UsageError(f"`{path}` is in the folder of a run", f"give the folder: `{shown}`")
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
        some = ", ".join(f"`{run}`" for run in inside[:_SOME])
        held = f"it holds {len(inside):,} run{'s' * (len(inside) > 1)}"
        return UsageError(f"`{path}` is not a run folder: {held}", f"give {some}{', …' * (len(inside) > _SOME)}")
    return UsageError(f"`{path}` is not a run folder: it has no `{RunFolder(path).record.name}`", HELP)


def runs_in(folder: Path) -> list[Path]:
    """The run folders in a folder, in the order of their names; none where there is no such folder."""
    try:
        return sorted(path for path in folder.iterdir() if is_run(path) and path.name[0] != ".")
    except OSError:
        return []


def read_record(run: RunFolder) -> RunRecord:
    """How a run was made; raises UsageError when there is no run, or the file holds anything else."""
    if not is_run(run.path):
        raise no_run(run.path)
    text = read_text(run.record)
    check_format(text, _FORMAT, run.record)
    try:
        return RunRecord.model_validate_json(text)
    except ValidationError as error:
        where, _, reason = first_error(error)
        raise UsageError(
            f"`{run.record}` is not the record of a run: {where and f'`{where}`: '}{reason}",
            "it may have been edited, or written by another release of cldfc",
        ) from error
