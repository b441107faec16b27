"""What was built and trained, beside what the paper prints: as text, as Markdown, as data."""

from __future__ import annotations

import statistics
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from cldfc.network.expect import count_params
from cldfc.reproduce.comparisons import EXPLAINED, compare_rows, comparison_cells, differences_as_data
from cldfc.reproduce.networks import network_of
from cldfc.reproduce.recipes import find_dataset, widths_of
from cldfc.reproduce.runs import Wanted, accuracy_of, is_finished, run_of
from cldfc.reproduce.tables import Table, TableRow
from cldfc.train.recipe import Recipe

NONE = "–"

WIDTH = 118
"""Of a line that says how rows were trained."""

Write = Callable[[Sequence[Sequence[str]]], str]
"""Turns rows of cells into text."""


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
class RowResult:
    """A row as it was built and trained."""

    row: TableRow
    parameters: int
    accuracies: Mapping[str, Accuracy]
    """For each data set that it is trained on."""

    @property
    def agrees(self) -> bool:
        """Whether the number of parameters is the printed one, to the printed digit."""
        decimals = len(self.row.parameters.removesuffix("M").partition(".")[2])
        return f"{self.parameters / 1e6:.{decimals}f}M" == self.row.parameters


def collect(wanted: Wanted, table: Table) -> list[RowResult]:
    """Build every row, and read the runs that are finished. Raises CldfError, UsageError."""
    return [result_of(wanted, table, row) for row in table.rows]


def result_of(wanted: Wanted, table: Table, row: TableRow) -> RowResult:
    """A row, built for the data set whose parameters the paper prints, and its finished runs."""
    datasets = wanted.datasets(table)
    accuracies: dict[str, Accuracy] = {}
    for dataset in datasets:
        runs = [run_of(wanted, table, row, dataset, seed) for seed in range(wanted.seeds)]
        found = [accuracy_of(run) for run in runs if is_finished(run)]
        values = tuple(value for value in found if value is not None)
        accuracies[dataset] = Accuracy(values, len(found) - len(values))
    return RowResult(row, count_params(network_of(row, datasets[-1], wanted.is_miniature).shapes), accuracies)


def as_cells(table: Table, results: Sequence[RowResult], is_miniature: bool) -> list[list[str]]:
    """A table as it is shown: a row of headings, then a row for each network."""
    trained = list(results[0].accuracies)
    # The printed counts are those of the table's last data set; a miniature is no network of the paper.
    has_counts = any(row.parameters for row in table.rows) and not is_miniature and trained[-1] == table.datasets[-1]
    is_beside = not is_miniature and set(trained) <= set(table.datasets)
    heads = ["network", "parameters", *(["paper"] if has_counts else [])]
    if is_beside:
        heads += [head for dataset in trained for head in (dataset, "paper")]
    else:
        heads += [*trained, *(f"paper, {dataset}" for dataset in table.datasets)]
    return [heads, *(cells_of(table, result, has_counts, is_beside) for result in results)]


def cells_of(table: Table, result: RowResult, has_counts: bool, is_beside: bool) -> list[str]:
    """The row of a network; each printed accuracy beside the own one, or all of them after the own ones."""
    printed = {name: f"{accuracy:.2f}" for name, accuracy in zip(table.datasets, result.row.accuracies, strict=True)}
    own = {name: str(accuracy) for name, accuracy in result.accuracies.items()}
    cells = [result.row.title, f"{result.parameters:,}"]
    if has_counts:
        cells.append(f"{'=' if result.agrees else '≠'} {result.row.parameters}")
    if is_beside:
        return cells + [cell for name in own for cell in (own[name], printed[name])]
    return [*cells, *own.values(), *printed.values()]


def as_text(cells: Sequence[Sequence[str]]) -> str:
    """Aligned columns: the first to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join(
        "  ".join([row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))])
        for row in cells
    )


def as_shown(wanted: Wanted, table: Table, results: Sequence[RowResult], write: Write) -> str:
    """A table with all that is said about it, in one of the forms of `as_text` and `as_markdown`."""
    parts = [f"{table.name}: {table.title}", write(as_cells(table, results, wanted.is_miniature)), table.note]
    if wanted.is_miniature or wanted.data:
        parts += [how_trained(wanted, table, dataset) for dataset in wanted.datasets(table)]
    differences = compare_rows(wanted, table)
    if differences:
        parts += [write(comparison_cells(differences)), EXPLAINED]
    return "\n\n".join(filter(None, parts))


def how_trained(wanted: Wanted, table: Table, dataset: str) -> str:
    """What a reader has to know of trainings that are not the paper's: what is common to all rows."""
    recipes = [run_of(wanted, table, row, dataset, 0).recipe for row in table.rows]
    recipe, known = recipes[0], find_dataset(dataset).images
    decays = " or ".join(f"{decay:g}" for decay in dict.fromkeys(recipe.weight_decay for recipe in recipes))
    said = [
        *([f"channels {widths_of(dataset)}"] if wanted.is_miniature else []),
        f"{epochs_in_words(recipe.epochs)}, learning rate {recipe.lr:g}{fall_of(recipe)}",
        f"batches of {recipe.batch}, weight decay {decays}",
        f"warm-up over {100 * recipe.warmup:g} % of the steps" if recipe.warmup else "no warm-up",
        "no clipping" if recipe.clip is None else f"gradients clipped at {recipe.clip:g}",
    ]
    if recipe.images:
        said.append(f"{recipe.images:,} of {known[0]:,} training images, drawn once with equal shares of each class")
    return textwrap.fill(f"{dataset}: {'; '.join(said)}", WIDTH, break_long_words=False, break_on_hyphens=False)


def fall_of(recipe: Recipe) -> str:
    """How the learning rate of a recipe falls, if it does."""
    if recipe.schedule == "cosine":
        return ", to 0 along half a cosine"
    if recipe.drop_every >= recipe.epochs:
        return ""
    return f", divided by {recipe.drop_by:g} every {epochs_in_words(recipe.drop_every)}"


def epochs_in_words(count: int) -> str:
    """`1 epoch`, `30 epochs`."""
    return f"{count} epoch{'s' * (count != 1)}"


def as_markdown(cells: Sequence[Sequence[str]]) -> str:
    """The same in Markdown; names of networks as code, for they hold asterisks."""
    heads, *rows = cells
    lines = [heads, ["---", *["---:"] * (len(heads) - 1)], *([f"`{row[0]}`", *row[1:]] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def as_data(wanted: Wanted, table: Table, results: Sequence[RowResult]) -> dict[str, object]:
    """The same as plain data, with the comparisons."""
    return {
        "table": table.name,
        "title": table.title,
        "rows": [row_as_data(table, result) for result in results],
        "comparisons": differences_as_data(compare_rows(wanted, table)),
    }


def row_as_data(table: Table, result: RowResult) -> dict[str, object]:
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
