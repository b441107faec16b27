"""Results beside the figures that the paper prints, and confidence intervals of their differences."""

from __future__ import annotations

import math
import statistics
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import import_module
from typing import Any

from cldfc.network.cost import count_params
from cldfc.output import aligned
from cldfc.reproduce.sweep import Wanted, accuracy_of, is_finished, run_of
from cldfc.reproduce.tables import Table, TableRow, find_dataset, network_of, widths_of

_CONFIDENCE = 0.95
_NONE = "–"

_EXPLAINED = (
    "differences of the test accuracy after the last epoch, in percentage points, over pairs of trainings with\n"
    "the same seed; the interval is Student's t, as if the pairs were independent"
)


@dataclass(frozen=True, slots=True)
class PairedDifference:
    """Differences in accuracy between two kinds of networks, one for each pair of trainings, in percentage points."""

    title: str
    dataset: str
    values: tuple[float, ...]
    diverged: int
    """Pairs that are left out because a training diverged."""

    @property
    def mean(self) -> float | None:
        return statistics.fmean(self.values) if self.values else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95 % confidence interval of the mean; None for fewer than two pairs."""
        count = len(self.values)
        if count < 2:
            return None
        # scipy, a dependency of scikit-learn, has no type annotations.
        special: Any = import_module("scipy.special")
        quantile = float(special.stdtrit(count - 1, (1 + _CONFIDENCE) / 2))
        mean, reach = statistics.fmean(self.values), quantile * statistics.stdev(self.values) / math.sqrt(count)
        return mean - reach, mean + reach


def compare_rows(wanted: Wanted, table: Table) -> list[PairedDifference]:
    """The comparisons of a table on each data set, over pairs of finished runs. Raises UsageError."""
    rows = {row.folder: row for row in table.rows}
    found: list[PairedDifference] = []
    for dataset in wanted.datasets(table):
        for question in table.comparisons:
            pairs = [
                pair
                for one, other in question.pairs
                if one in rows and other in rows
                for pair in _paired_accuracies(wanted, table, dataset, (rows[one], rows[other]))
            ]
            values = tuple(one - other for one, other in pairs if one is not None and other is not None)
            if pairs:
                found.append(PairedDifference(question.title, dataset, values, len(pairs) - len(values)))
    return found


def _paired_accuracies(
    wanted: Wanted, table: Table, dataset: str, rows: tuple[TableRow, TableRow]
) -> Iterator[tuple[float | None, float | None]]:
    """The accuracies of two rows for each seed with which both have finished; None for a training that diverged."""
    for seed in range(wanted.seeds):
        one, other = (run_of(wanted, table, row, dataset, seed) for row in rows)
        if is_finished(one) and is_finished(other):
            yield accuracy_of(one), accuracy_of(other)


def comparison_cells(differences: Sequence[PairedDifference]) -> list[list[str]]:
    rows = [["comparison", "data", "difference", "95 % interval", "pairs"]]
    for found in differences:
        mean = _NONE if found.mean is None else _signed(found.mean)
        interval = _NONE if found.interval is None else " to ".join(map(_signed, found.interval))
        pairs = f"{len(found.values)}{f', {found.diverged} diverged' * bool(found.diverged)}"
        rows.append([found.title, found.dataset, mean, interval, pairs])
    return rows


def _signed(points: float) -> str:
    """`+0.12`, `−0.40`."""
    return f"{points:+.2f}".replace("-", "−")


_WIDTH = 118

_Write = Callable[[Sequence[Sequence[str]]], str]


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Test accuracy after the last epoch for each seed, in percent; diverged trainings are counted separately."""

    values: tuple[float, ...]
    diverged: int = 0

    @property
    def mean(self) -> float | None:
        return statistics.fmean(self.values) if self.values else None

    @property
    def spread(self) -> float | None:
        return statistics.stdev(self.values) if len(self.values) > 1 else None

    def __str__(self) -> str:
        parts = [] if self.mean is None else [f"{self.mean:.2f}"]
        parts += [] if self.spread is None else [f"± {self.spread:.2f}"]
        parts += [f"{self.diverged} diverged"] if self.diverged else []
        return " ".join(parts) or _NONE


@dataclass(frozen=True, slots=True)
class _RowResult:
    row: TableRow
    parameters: int
    accuracies: Mapping[str, Accuracy]

    @property
    def agrees(self) -> bool:
        decimals = len(self.row.parameters.removesuffix("M").partition(".")[2])
        return f"{self.parameters / 1e6:.{decimals}f}M" == self.row.parameters


def collect(wanted: Wanted, table: Table) -> list[_RowResult]:
    """Build the network of every row, and read its finished runs. Raises CldfError, UsageError."""
    datasets = wanted.datasets(table)
    results: list[_RowResult] = []
    for row in table.rows:
        accuracies: dict[str, Accuracy] = {}
        for dataset in datasets:
            runs = [run_of(wanted, table, row, dataset, seed) for seed in range(wanted.seeds)]
            found = [accuracy_of(run) for run in runs if is_finished(run)]
            values = tuple(value for value in found if value is not None)
            accuracies[dataset] = Accuracy(values, len(found) - len(values))
        # The paper counts parameters for the last data set of a table.
        network = network_of(row, datasets[-1], wanted.is_miniature)
        results.append(_RowResult(row, count_params(network.shapes), accuracies))
    return results


def as_cells(table: Table, results: Sequence[_RowResult], is_miniature: bool) -> list[list[str]]:
    trained = list(results[0].accuracies)
    # The printed counts are for the table's last data set, and not for miniatures.
    has_counts = any(row.parameters for row in table.rows) and not is_miniature and trained[-1] == table.datasets[-1]
    is_beside = not is_miniature and set(trained) <= set(table.datasets)
    heads = ["network", "parameters", *(["paper"] if has_counts else [])]
    if is_beside:
        heads += [head for dataset in trained for head in (dataset, "paper")]
    else:
        heads += [*trained, *(f"paper, {dataset}" for dataset in table.datasets)]

    def cells(result: _RowResult) -> list[str]:
        row = result.row
        printed = {name: f"{accuracy:.2f}" for name, accuracy in zip(table.datasets, row.accuracies, strict=True)}
        own = {name: str(accuracy) for name, accuracy in result.accuracies.items()}
        counts = [f"{result.parameters:,}"]
        if has_counts:
            counts.append(f"{'=' if result.agrees else '≠'} {row.parameters}")
        if is_beside:
            return [row.title, *counts, *(cell for name in own for cell in (own[name], printed[name]))]
        return [row.title, *counts, *own.values(), *printed.values()]

    return [heads, *map(cells, results)]


def as_text(cells: Sequence[Sequence[str]]) -> str:
    return "\n".join(aligned(cells, [number > 0 for number in range(len(cells[0]))]))


def as_shown(wanted: Wanted, table: Table, results: Sequence[_RowResult], write: _Write) -> str:
    parts = [f"{table.name}: {table.title}", write(as_cells(table, results, wanted.is_miniature)), table.note]
    if wanted.is_miniature or wanted.data:
        parts += [_how_trained(wanted, table, dataset) for dataset in wanted.datasets(table)]
    differences = compare_rows(wanted, table)
    if differences:
        parts += [write(comparison_cells(differences)), _EXPLAINED]
    return "\n\n".join(filter(None, parts))


def _how_trained(wanted: Wanted, table: Table, dataset: str) -> str:
    """The settings that all rows share, for readers of results that were not trained as in the paper."""

    def epochs(count: int) -> str:
        return f"{count} epoch{'s' * (count != 1)}"

    recipes = [run_of(wanted, table, row, dataset, 0).recipe for row in table.rows]
    recipe, known = recipes[0], find_dataset(dataset).images
    fall = ""
    if recipe.schedule == "cosine":
        fall = ", to 0 along half a cosine"
    elif recipe.drop_every < recipe.epochs:
        fall = f", divided by {recipe.drop_by:g} every {epochs(recipe.drop_every)}"
    decays = " or ".join(f"{decay:g}" for decay in dict.fromkeys(recipe.weight_decay for recipe in recipes))
    said = [
        *([f"channels {widths_of(dataset)}"] if wanted.is_miniature else []),
        f"{epochs(recipe.epochs)}, learning rate {recipe.lr:g}{fall}",
        f"batches of {recipe.batch}, weight decay {decays}",
        f"warm-up over {100 * recipe.warmup:g} % of the steps" if recipe.warmup else "no warm-up",
        "no clipping" if recipe.clip is None else f"gradients clipped at {recipe.clip:g}",
    ]
    if recipe.images:
        said.append(f"{recipe.images:,} of {known[0]:,} training images, drawn once with equal shares of each class")
    return textwrap.fill(f"{dataset}: {'; '.join(said)}", _WIDTH, break_long_words=False, break_on_hyphens=False)


def as_markdown(cells: Sequence[Sequence[str]]) -> str:
    """The cells as a Markdown table; the first column is code, because names of networks contain asterisks."""
    heads, *rows = cells
    lines = [heads, ["---", *["---:"] * (len(heads) - 1)], *([f"`{row[0]}`", *row[1:]] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def as_data(wanted: Wanted, table: Table, results: Sequence[_RowResult]) -> dict[str, object]:
    """A table as plain data, with the comparisons; accuracies are in percent."""
    return {
        "table": table.name,
        "title": table.title,
        "rows": [
            {
                "network": result.row.name,
                "reading": result.row.reading or None,
                "spec": result.row.spec,
                "let": list(result.row.lets),
                "parameters": result.parameters,
                "printed_parameters": result.row.parameters or None,
                "printed_accuracies": dict(zip(table.datasets, result.row.accuracies, strict=True)),
                "accuracies": {
                    dataset: {"mean": accuracy.mean, "spread": accuracy.spread, **asdict(accuracy)}
                    for dataset, accuracy in result.accuracies.items()
                },
            }
            for result in results
        ],
        "comparisons": [
            {
                "comparison": found.title,
                "data": found.dataset,
                "difference": found.mean,
                "interval": found.interval,
                "values": found.values,
                "diverged": found.diverged,
            }
            for found in compare_rows(wanted, table)
        ],
    }
