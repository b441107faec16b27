"""The runs that a reproduction consists of: which there are, which are finished, and what came out of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cldfc.diagnostics import UsageError
from cldfc.reproduce.networks import Network, network_of
from cldfc.reproduce.recipes import DIGITS, recipe_of
from cldfc.reproduce.tables import Row, Table
from cldfc.train.files import read_text
from cldfc.train.launch import Launch
from cldfc.train.metrics import read_epochs
from cldfc.train.recipe import Recipe
from cldfc.train.run import RunFolder, read_record


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be reproduced, and into which folder."""

    tables: tuple[Table, ...]
    seeds: int
    changes: Mapping[str, object]
    """Fields of the recipe that are not to be the paper's."""
    is_miniature: bool
    output: Path
    data: str | None = None
    """The data set to train on, if it is not to be the tables'."""

    def datasets(self, table: Table) -> tuple[str, ...]:
        """The data sets that a table is trained on."""
        if self.data:
            return (self.data,)
        return (DIGITS,) if self.is_miniature else table.datasets


@dataclass(frozen=True, slots=True)
class Run:
    """One training of one row; its folder is there when it is finished, as a whole or not at all."""

    row: Row
    dataset: str
    recipe: Recipe
    is_miniature: bool
    folder: Path

    @property
    def aside(self) -> Path:
        """Where it is trained; what lies there was interrupted."""
        return self.folder.with_name(f"{self.folder.name}.part")

    @property
    def network(self) -> Network:
        """What is trained."""
        return network_of(self.row, self.dataset, self.is_miniature)


def list_runs(wanted: Wanted) -> list[Run]:
    """All runs, seed by seed, so that every row has its first before any has its second."""
    return [
        run_of(wanted, table, row, dataset, seed)
        for seed in range(wanted.seeds)
        for table in wanted.tables
        for dataset in wanted.datasets(table)
        for row in table.rows
    ]


def run_of(wanted: Wanted, table: Table, row: Row, dataset: str, seed: int) -> Run:
    """The training of a row on a data set with a seed. Raises UsageError for a change that is not possible."""
    recipe = recipe_of(table, row, dataset, wanted.is_miniature, {**wanted.changes, "seed": seed})
    # The name of a data set may be a path.
    folder = wanted.output / table.name / f"{row.folder}-{dataset.replace('/', '-')}-{seed}"
    return Run(row, dataset, recipe, wanted.is_miniature, folder)


def is_finished(run: Run) -> bool:
    """Whether the run is there; raises UsageError when its folder holds another one."""
    if not run.folder.is_dir():
        return False
    other = difference(run, RunFolder(run.folder))
    if other:
        raise UsageError(
            f"`{run.folder}` was trained with another {other}",
            "give another folder with `--output`",
        )
    return True


def is_begun(run: Run) -> bool:
    """Whether the run was interrupted, and can go on from where it was."""
    try:
        return difference(run, RunFolder(run.aside)) is None
    except UsageError:
        return False


def difference(run: Run, folder: RunFolder) -> str | None:
    """What a folder holds another one of than the run, if any; raises UsageError when it holds no run."""
    if read_text(folder.spec) != run.network.text:
        return "network"
    record = read_record(folder)
    if record.dataset != run.dataset:
        return "data set"
    return "recipe" if record.recipe != run.recipe else None


def accuracy_of(run: Run) -> float | None:
    """The test accuracy of a finished run after its last epoch, in percent; None if it diverged."""
    if RunFolder(run.folder).divergence.is_file():
        return None
    return 100 * read_epochs(RunFolder(run.folder).metrics)[-1].test_accuracy


def share_of(launch: Launch, runs: Sequence[Run]) -> list[Run]:
    """The runs that a process trains: no other trains them."""
    return list(runs[launch.rank :: launch.count])
