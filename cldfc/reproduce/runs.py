"""The runs that a reproduction consists of: which there are, which are finished, and what came out of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cldfc.compilation import Compilation
from cldfc.diagnostics import UsageError
from cldfc.reproduce.networks import network_of
from cldfc.reproduce.recipes import DIGITS, recipe_of
from cldfc.reproduce.tables import Table, TableRow
from cldfc.train.files import read_text
from cldfc.train.launch import Launch
from cldfc.train.lock import refuse_in_use
from cldfc.train.metrics import is_complete, read_epochs
from cldfc.train.recipe import Recipe, other_fields
from cldfc.train.run import RunFolder, read_record
from cldfc.train.seal import check_seal

FIGURES = ("spec.cldf", "recipe.json", "metrics.csv")
"""What must be as the training wrote it, for a figure to be believed."""


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
    """One training of one row; its folder is there when it is finished, as a whole or not at all."""

    row: TableRow
    dataset: str
    recipe: Recipe
    is_miniature: bool
    folder: Path

    @property
    def aside(self) -> Path:
        """Where it is trained; what lies there was interrupted."""
        return self.folder.with_name(f"{self.folder.name}.part")

    @property
    def network(self) -> Compilation:
        return network_of(self.row, self.dataset, self.is_miniature)


def list_runs(wanted: Wanted) -> list[TableRun]:
    """All runs, seed by seed, so that every row has its first before any has its second."""
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


def unfinished(runs: Sequence[TableRun], warn: Callable[[str], None]) -> list[TableRun]:
    """The runs that are not finished; each can be begun or gone on with, and nobody else trains it. Nothing is changed.

    `warn` hears what else is wrong with finished ones. Raises UsageError that names every run of which that is not so.
    """
    left: list[TableRun] = []
    wrong: list[UsageError] = []
    for run in runs:
        try:
            if is_finished(run):
                for remark in check_seal(run.folder, FIGURES):
                    warn(remark)
                continue
            left.append(run)
            if os.path.lexists(run.aside):
                refuse_in_use(RunFolder(run.aside))
                refuse_other(run, run.aside, "begun")
        except UsageError as error:
            wrong.append(error)
    if len(wrong) > 1:
        raise UsageError(f"{len(wrong)} runs stand in the way:", wrong[0].help, [error.message for error in wrong])
    if wrong:
        raise wrong[0]
    return left


def is_finished(run: TableRun) -> bool:
    """Whether the run is there; raises UsageError when its folder holds another one, or its figures were changed."""
    if not os.path.lexists(run.folder):
        return False
    refuse_other(run, run.folder, "trained")
    check_seal(run.folder, FIGURES, FIGURES)
    return True


def refuse_other(run: TableRun, folder: Path, what: str) -> None:
    if not os.path.lexists(RunFolder(folder).record):
        raise UsageError(
            f"`{folder}` exists, and is not a run folder", "move it away, or give another folder with `-o`"
        )
    there, record = read_text(RunFolder(folder).spec), read_record(RunFolder(folder))
    data = [] if record.dataset == run.dataset else [f"data `{record.dataset}`, not `{run.dataset}`"]
    network = [] if there == run.network.text else [f"another network: {other_line(there, run.network.text)}"]
    if others := [*data, *other_fields(record.recipe.model_dump(mode="json"), run.recipe), *network]:
        raise UsageError(
            f"`{folder}` was {what} with {'; '.join(others)}",
            "give another folder with `-o`, or the options that it was begun with",
        )


def other_line(there: str, wanted: str) -> str:
    """The first line that only one spec has, beside that which the other has for it."""
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
    """The runs that a process trains: no other trains them."""
    return list(runs[launch.rank :: launch.count])
