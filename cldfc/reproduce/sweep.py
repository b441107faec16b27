"""The runs of a reproduction, trained one after another or several at a time."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from multiprocessing.sharedctypes import RawValue
from pathlib import Path

from cldfc.compilation import Compilation
from cldfc.data.catalogue import DATA_DIR
from cldfc.data.dataset_files import how_to_get, missing
from cldfc.data.download import fetch_missing
from cldfc.diagnostics import CldfError, UsageError
from cldfc.files import read_text
from cldfc.processors import ON_CORES
from cldfc.recipe import Recipe, other_fields
from cldfc.reproduce.tables import DIGITS, Table, TableRow, find_dataset, network_of, recipe_of
from cldfc.runs.lock import refuse_in_use
from cldfc.runs.run_folder import RunFolder, check_seal, read_record
from cldfc.stop import Request, Stopped, deaf, listen, obey_parent
from cldfc.training.launch import Launch
from cldfc.training.metrics import is_complete, read_epochs

_FIGURES = ("spec.cldf", "recipe.json", "metrics.csv")
"""Files that must be unchanged since training; otherwise the run's accuracy is refused."""


@dataclass(frozen=True, slots=True)
class Wanted:
    tables: tuple[Table, ...]
    seeds: int
    changes: Mapping[str, object]
    is_miniature: bool
    output: Path
    data: str | None = None

    def datasets(self, table: Table) -> tuple[str, ...]:
        if self.data:
            return (self.data,)
        return (DIGITS,) if self.is_miniature else table.datasets


@dataclass(frozen=True, slots=True)
class TableRun:
    """One training of one row; its folder exists only once the training has finished."""

    row: TableRow
    dataset: str
    recipe: Recipe
    is_miniature: bool
    folder: Path

    @property
    def aside(self) -> Path:
        """The folder of a training that is in progress or was interrupted."""
        return self.folder.with_name(f"{self.folder.name}.part")

    @property
    def network(self) -> Compilation:
        return network_of(self.row, self.dataset, self.is_miniature)


def list_runs(wanted: Wanted) -> list[TableRun]:
    """All runs, ordered by seed, so that every row has one run before any row has two."""
    return [
        run_of(wanted, table, row, dataset, seed)
        for seed in range(wanted.seeds)
        for table in wanted.tables
        for dataset in wanted.datasets(table)
        for row in table.rows
    ]


def run_of(wanted: Wanted, table: Table, row: TableRow, dataset: str, seed: int) -> TableRun:
    recipe = recipe_of(table, row, dataset, wanted.is_miniature, {**wanted.changes, "seed": seed})
    # The name of a data set may be a path.
    folder = wanted.output / table.name / f"{row.folder}-{dataset.replace('/', '-')}-{seed}"
    return TableRun(row, dataset, recipe, wanted.is_miniature, folder)


def _unfinished(runs: Sequence[TableRun], warn: Callable[[str], None]) -> list[TableRun]:
    """The unfinished runs, after checking that each can be started or resumed and is not in use. Changes no files.

    `warn` receives remarks on finished runs. Raises UsageError that names every run that fails a check.
    """
    left: list[TableRun] = []
    wrong: list[UsageError] = []
    for run in runs:
        try:
            if is_finished(run):
                for remark in check_seal(run.folder, _FIGURES):
                    warn(remark)
                continue
            left.append(run)
            if os.path.lexists(run.aside):
                refuse_in_use(RunFolder(run.aside))
                _refuse_other(run, run.aside, "begun")
        except UsageError as error:
            wrong.append(error)
    if len(wrong) > 1:
        raise UsageError(f"{len(wrong)} runs stand in the way:", wrong[0].help, [error.message for error in wrong])
    if wrong:
        raise wrong[0]
    return left


def is_finished(run: TableRun) -> bool:
    """Whether a run has finished. Raises UsageError if its folder holds another run, or its results were edited."""
    if not os.path.lexists(run.folder):
        return False
    _refuse_other(run, run.folder, "trained")
    check_seal(run.folder, _FIGURES, _FIGURES)
    return True


def _refuse_other(run: TableRun, folder: Path, what: str) -> None:
    if not os.path.lexists(RunFolder(folder).record):
        raise UsageError(
            f"`{folder}` exists, and is not a run folder", "move it away, or give another folder with `-o`"
        )
    there, record = read_text(RunFolder(folder).spec), read_record(RunFolder(folder))
    data = [] if record.dataset == run.dataset else [f"data `{record.dataset}`, not `{run.dataset}`"]
    network = [] if there == run.network.text else [f"another network: {_other_line(there, run.network.text)}"]
    if others := [*data, *other_fields(record.recipe.model_dump(mode="json"), run.recipe), *network]:
        raise UsageError(
            f"`{folder}` was {what} with {'; '.join(others)}",
            "give another folder with `-o`, or the options that it was begun with",
        )


def _other_line(there: str, wanted: str) -> str:
    """The first line of each spec that the other one lacks."""
    lines, others = there.splitlines(), wanted.splitlines()
    has, lacks = (
        next((line.strip() for line in of if line not in not_of), "no such line")
        for of, not_of in ((lines, others), (others, lines))
    )
    return f"`{has}`, not `{lacks}`"


def accuracy_of(run: TableRun) -> float | None:
    """The test accuracy of a finished run after its last epoch, in percent; None if it diverged. Raises UsageError."""
    folder = RunFolder(run.folder)
    epochs = read_epochs(folder.metrics) if folder.metrics.exists() else []
    if is_complete(epochs, run.recipe):
        return 100 * epochs[-1].test_accuracy
    if folder.divergence.is_file():
        return None
    raise UsageError(f"`{run.folder}` has not finished all its epochs", "move it away: the run is then trained again")


def share_of(launch: Launch, runs: Sequence[TableRun]) -> list[TableRun]:
    """The runs that this process trains; each run belongs to exactly one process."""
    return list(runs[launch.rank :: launch.count])


def prepare_datasets(
    wanted: Wanted, data_dir: Path | None, download: bool, launch: Launch, say: Callable[[str], None]
) -> list[str]:
    """The names of the data sets that can be trained on; `say` is told what the others lack.

    Raises UsageError if the folder does not exist, a download fails, or several processes would download.
    """
    if data_dir is not None and not download and not data_dir.exists():
        raise UsageError(
            f"there is no folder `{data_dir}`", "name the one with the data, or fetch them by `--download`"
        )
    if download and launch.count > 1:
        raise UsageError(
            "several processes cannot fetch the same files", "run the command once with `--download`, without torchrun"
        )
    folder = data_dir or DATA_DIR
    there: list[str] = []
    for name in dict.fromkeys(name for table in wanted.tables for name in wanted.datasets(table)):
        dataset = find_dataset(name)
        if download and not dataset.folders:
            fetch_missing(dataset, folder, say)
        # Training takes days, so the user must have named the data or their folder, or asked for a download.
        if data_dir is None and not download and wanted.data is None:
            lacking = [*(file.place for file in dataset.files), *dataset.folders]
        else:
            lacking = missing(dataset, folder)
        if lacking:
            tables = ", ".join(table.name for table in wanted.tables if name in wanted.datasets(table))
            say(f"not trained on {name} ({tables}) without `{lacking[0]}`: {how_to_get(dataset)}")
        else:
            there.append(name)
    return there


def train_runs(
    runs: Sequence[TableRun],
    launch: Launch,
    data_dir: Path,
    command: str,
    say: Callable[[str], None],
    jobs: int = 1,
    device: str | None = None,
    workers: int | None = None,
) -> None:
    """Train the unfinished runs of a process, `jobs` at a time; `say` is told the result of each.

    An interrupted run continues from its newest checkpoint. `command` is recorded in the reports.
    Raises UsageError if a run fails the checks of `_unfinished`, a folder cannot be written, or a data set cannot be
    read; and Stopped after a signal, once the runs in progress have been saved.
    """
    own = _unfinished(share_of(launch, runs), lambda line: say(f"warning: {line}"))
    jobs = min(jobs, len(own))
    request = RawValue(Request) if jobs > 1 else Request()
    work = _Work(launch, data_dir, command, request, max(1, jobs), device, workers)
    start = time.monotonic()
    with listen(launch.count == 1, request):
        trained = _train_at_once(own, work, say) if jobs > 1 else _train_in_turn(own, work, say)
        for done, (run, seconds) in enumerate(trained, 1):
            left = in_time((time.monotonic() - start) / done * (len(own) - done))
            say(f"{run.folder}: {_result_of(run)}, {in_time(seconds)} ({done} of {len(own)}, about {left} left)")


@dataclass(frozen=True, slots=True)
class _Work:
    launch: Launch
    data_dir: Path
    command: str
    request: Request
    jobs: int
    device: str | None = None
    workers: int | None = None


def _train_in_turn(
    runs: Sequence[TableRun], work: _Work, say: Callable[[str], None]
) -> Iterator[tuple[TableRun, float]]:
    """Train runs in this process, one after another; yields each run and the seconds it took."""
    if runs:
        from cldfc.device import number_of, start_threads, use_device

        start_threads()
        number = number_of(work.device)
        use_device(work.launch.device if number is None else number)
    for run in runs:
        if work.request.number:
            raise Stopped(run.aside, work.request.number)
        began = time.monotonic()
        _train_run(run, work, say)
        yield run, time.monotonic() - began


def _train_at_once(
    runs: Sequence[TableRun], work: _Work, say: Callable[[str], None]
) -> Iterator[tuple[TableRun, float]]:
    """Train runs in several processes, each of which takes the next waiting run; yields runs as they finish.

    Networks as narrow as the miniatures gain nothing from a second thread. However this ends, runs in progress are
    saved. Raises UsageError if a process dies.
    """
    waiting = list(reversed(runs))
    helpers: list[tuple[SpawnProcess, Connection]] = []
    running: dict[Connection, TableRun] = {}

    def give_next(end: Connection) -> None:
        running[end] = waiting.pop()
        with _hearing_of_death(running[end]):
            end.send(running[end])

    # Each would keep its threads on the same first cores.
    for name in ON_CORES:
        os.environ.pop(name, None)
    try:
        for _ in range(work.jobs):
            helpers.append(_start_helper(work))
            give_next(helpers[-1][1])
        while running:
            ready = wait(list(running))
            for end in [end for end in running if end in ready]:
                run = running.pop(end)
                with _hearing_of_death(run):
                    outcome: _RunOutcome = end.recv()
                for line in outcome.lines:
                    say(line)
                if outcome.error:
                    raise outcome.error
                yield run, outcome.seconds
                if waiting:
                    give_next(end)
    finally:
        work.request.number = work.request.number or signal.SIGTERM
        for _, end in helpers:
            end.close()
        for process, _ in helpers:
            process.join()


def _start_helper(work: _Work) -> tuple[SpawnProcess, Connection]:
    context = get_context("spawn")
    end, other = context.Pipe()
    process = context.Process(target=help_training, args=(other, work))
    with deaf():
        process.start()
    other.close()
    return process, end


@contextmanager
def _hearing_of_death(run: TableRun) -> Generator[None]:
    try:
        yield
    except (EOFError, OSError) as error:
        raise UsageError(
            f"the process that was training `{run.folder}` has died",
            "it may have run out of memory: the same command with fewer `--jobs` continues from there",
        ) from error


@dataclass(frozen=True, slots=True)
class _RunOutcome:
    seconds: float
    lines: Sequence[str]
    error: Exception | None = None


def help_training(end: Connection, work: _Work) -> None:
    obey_parent()
    import torch

    torch.set_num_threads(max(1, torch.get_num_threads() // work.jobs))
    while True:
        # The parent closes its end when no runs are left, or has itself ended.
        try:
            run: TableRun = end.recv()
        except (EOFError, OSError):
            return
        lines: list[str] = []
        try:
            ((_, seconds),) = _train_in_turn([run], work, lines.append)
            outcome = _RunOutcome(seconds, lines)
        except (CldfError, UsageError, Stopped) as error:
            outcome = _RunOutcome(0, lines, error)
        with suppress(OSError):
            end.send(outcome)


def _train_run(run: TableRun, work: _Work, say: Callable[[str], None]) -> None:
    """Train a run in the folder `aside`, then rename that. Raises UsageError if it holds another run, or is in use."""
    from cldfc.plan import compiled_from
    from cldfc.runs.journal import Saving, TrainingSetting
    from cldfc.runs.progress import show_progress, silent
    from cldfc.runs.resume import read_interrupted, resume_network
    from cldfc.runs.training_run import train_network
    from cldfc.training.checkpoint_folder import remove_all
    from cldfc.training.task import Diverged

    compiled = compiled_from(run.network)
    is_shown = sys.stderr.isatty() and parent_process() is None
    shown = show_progress(sys.stderr, transient=True) if is_shown else silent()
    # A divergence is recorded in the run folder.
    with suppress(Diverged), shown as progress:
        setting = TrainingSetting(
            progress=progress,
            data_dir=work.data_dir,
            saving=Saving(request=work.request),
            command=work.command,
            device=work.device,
            workers=work.workers,
        )
        if os.path.lexists(run.aside):
            _refuse_other(run, run.aside, "begun")
            begun = read_interrupted(run.aside, {})
            resume_network(begun, compiled, lambda line: say(f"warning: {line}"), setting)
        else:
            train_network(compiled, find_dataset(run.dataset), run.recipe, run.aside, setting)
    try:
        run.aside.rename(run.folder)
    except OSError as error:
        raise UsageError(
            f"`{run.aside}` cannot be renamed to `{run.folder}`: {error.strerror}",
            "do not train into one folder from two places at once, but through torchrun",
        ) from error
    remove_all(RunFolder(run.folder).checkpoints)


def _result_of(run: TableRun) -> str:
    accuracy = accuracy_of(run)
    return "diverged" if accuracy is None else f"{accuracy:.2f} %"


def in_time(seconds: float) -> str:
    """Seconds in words: `42 s`, `12 min`, `3.5 h`."""
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 99.5 * 60 else f"{seconds / 3600:.1f} h"
