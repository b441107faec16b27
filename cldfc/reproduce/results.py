"""What was built and trained, beside what the paper prints: as text, as Markdown, as data."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cldfc.reproduce.networks import network_of
from cldfc.reproduce.runs import Wanted, accuracy_of, is_finished, run_of
from cldfc.reproduce.tables import Row, Table

NONE = "–"


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Test accuracies after the last epoch over the seeds, in percent; diverged trainings are counted apart."""

    values: tuple[float, ...]
    diverged: int = 0

    @property
    def mean(self) -> float | None:
        """Their mean."""
        return statistics.fmean(self.values) if self.values else None

    @property
    def spread(self) -> float | None:
        """Their sample standard deviation."""
        return statistics.stdev(self.values) if len(self.values) > 1 else None

    def __str__(self) -> str:
        parts = [] if self.mean is None else [f"{self.mean:.2f}"]
        parts += [] if self.spread is None else [f"± {self.spread:.2f}"]
        parts += [f"{self.diverged} diverged"] if self.diverged else []
        return " ".join(parts) or NONE


@dataclass(frozen=True, slots=True)
class Result:
    """A row as it was built and trained."""

    row: Row
    parameters: int
    accuracies: Mapping[str, Accuracy]
    """For each data set that it is trained on."""

    @property
    def agrees(self) -> bool:
        """Whether the number of parameters is the printed one, to the printed digit."""
        decimals = len(self.row.parameters.removesuffix("M").partition(".")[2])
        return f"{self.parameters / 1e6:.{decimals}f}M" == self.row.parameters


def collect(wanted: Wanted, table: Table) -> list[Result]:
    """Build every row, and read the runs that are finished. Raises CldfError, UsageError."""
    return [result_of(wanted, table, row) for row in table.rows]


def result_of(wanted: Wanted, table: Table, row: Row) -> Result:
    """A row, built for the data set whose parameters the paper prints, and its finished runs."""
    datasets = wanted.datasets(table)
    accuracies: dict[str, Accuracy] = {}
    for dataset in datasets:
        runs = [run_of(wanted, table, row, dataset, seed) for seed in range(wanted.seeds)]
        found = [accuracy_of(run) for run in runs if is_finished(run)]
        values = tuple(value for value in found if value is not None)
        accuracies[dataset] = Accuracy(values, len(found) - len(values))
    return Result(row, network_of(row, datasets[-1], wanted.is_miniature).count(), accuracies)


def as_cells(table: Table, results: Sequence[Result], is_miniature: bool) -> list[list[str]]:
    """A table as it is shown: a row of headings, then a row for each network."""
    has_counts = any(row.parameters for row in table.rows) and not is_miniature
    heads = ["network", "parameters", *(["paper"] if has_counts else [])]
    if is_miniature:
        heads += [*results[0].accuracies, *(f"paper, {dataset}" for dataset in table.datasets)]
    else:
        heads += [head for dataset in table.datasets for head in (dataset, "paper")]
    return [heads, *(cells_of(result, has_counts, is_miniature) for result in results)]


def cells_of(result: Result, has_counts: bool, is_miniature: bool) -> list[str]:
    """The row of a network."""
    printed = [f"{accuracy:.2f}" for accuracy in result.row.accuracies]
    own = [str(accuracy) for accuracy in result.accuracies.values()]
    cells = [result.row.title, f"{result.parameters:,}"]
    if has_counts:
        cells.append(f"{'=' if result.agrees else '≠'} {result.row.parameters}")
    pairs = [*own, *printed] if is_miniature else [cell for pair in zip(own, printed, strict=True) for cell in pair]
    return cells + pairs


def as_text(cells: Sequence[Sequence[str]]) -> str:
    """Aligned columns: the first to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join(
        "  ".join([row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))])
        for row in cells
    )


def as_markdown(cells: Sequence[Sequence[str]]) -> str:
    """The same in Markdown; names of networks as code, for they hold asterisks."""
    heads, *rows = cells
    lines = [heads, ["---", *["---:"] * (len(heads) - 1)], *([f"`{row[0]}`", *row[1:]] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def as_data(table: Table, results: Sequence[Result]) -> dict[str, object]:
    """The same as plain data."""
    return {"table": table.name, "title": table.title, "rows": [row_as_data(table, result) for result in results]}


def row_as_data(table: Table, result: Result) -> dict[str, object]:
    """A network as plain data; accuracies are in percent."""
    row = result.row
    return {
        "network": row.name,
        "reading": row.reading or None,
        "spec": row.spec,
        "let": list(row.lets),
        "parameters": result.parameters,
        "printed_parameters": row.parameters or None,
        "printed_accuracies": dict(zip(table.datasets, row.accuracies, strict=True)),
        "accuracies": {
            dataset: {
                "mean": accuracy.mean,
                "spread": accuracy.spread,
                "values": list(accuracy.values),
                "diverged": accuracy.diverged,
            }
            for dataset, accuracy in result.accuracies.items()
        },
    }
