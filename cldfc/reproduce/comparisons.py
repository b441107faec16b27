"""Differences of accuracy between two networks, seed by seed, and how sure their mean is."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from cldfc.reproduce.runs import Wanted, accuracy_of, is_finished, run_of
from cldfc.reproduce.tables import Table, TableRow

CONFIDENCE = 0.95

EXPLAINED = (
    "differences of the test accuracy after the last epoch, in percentage points, over pairs of trainings with\n"
    "the same seed; the interval is Student's t, as if the pairs were independent"
)


@dataclass(frozen=True, slots=True)
class PairedDifference:
    """What two kinds of networks differ by on a data set: one value for each pair of trainings, in points."""

    title: str
    dataset: str
    values: tuple[float, ...]
    diverged: int
    """Pairs left out, because one of the two has no accuracy."""

    @property
    def mean(self) -> float | None:
        return statistics.fmean(self.values) if self.values else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95 % confidence interval of the mean; one pair has none."""
        count = len(self.values)
        if count < 2:
            return None
        # scipy, which comes with scikit-learn, carries no types.
        special: Any = import_module("scipy.special")
        quantile = float(special.stdtrit(count - 1, (1 + CONFIDENCE) / 2))
        mean, reach = statistics.fmean(self.values), quantile * statistics.stdev(self.values) / math.sqrt(count)
        return mean - reach, mean + reach


def compare_rows(wanted: Wanted, table: Table) -> list[PairedDifference]:
    """The comparisons of a table on each data set, over the pairs of which both are finished. Raises UsageError."""
    rows = {row.folder: row for row in table.rows}
    found: list[PairedDifference] = []
    for dataset in wanted.datasets(table):
        for question in table.comparisons:
            pairs = [
                pair
                for one, other in question.pairs
                if one in rows and other in rows
                for pair in paired_accuracies(wanted, table, dataset, (rows[one], rows[other]))
            ]
            values = tuple(one - other for one, other in pairs if one is not None and other is not None)
            if pairs:
                found.append(PairedDifference(question.title, dataset, values, len(pairs) - len(values)))
    return found


def paired_accuracies(
    wanted: Wanted, table: Table, dataset: str, rows: tuple[TableRow, TableRow]
) -> Iterator[tuple[float | None, float | None]]:
    """The accuracies of two rows seed by seed, where both are finished; None of a training that diverged."""
    for seed in range(wanted.seeds):
        one, other = (run_of(wanted, table, row, dataset, seed) for row in rows)
        if is_finished(one) and is_finished(other):
            yield accuracy_of(one), accuracy_of(other)


def comparison_cells(differences: Sequence[PairedDifference]) -> list[list[str]]:
    def cells(found: PairedDifference) -> list[str]:
        mean, interval = found.mean, found.interval
        return [
            found.title,
            found.dataset,
            "–" if mean is None else signed(mean),
            "–" if interval is None else f"{signed(interval[0])} to {signed(interval[1])}",
            f"{len(found.values)}{f', {found.diverged} diverged' * bool(found.diverged)}",
        ]

    return [["comparison", "data", "difference", "95 % interval", "pairs"], *map(cells, differences)]


def signed(points: float) -> str:
    """`+0.12`, `−0.40`."""
    return f"{points:+.2f}".replace("-", "−")


def differences_as_data(differences: Sequence[PairedDifference]) -> list[dict[str, object]]:
    return [
        {
            "comparison": difference.title,
            "data": difference.dataset,
            "difference": difference.mean,
            "interval": difference.interval,
            "values": list(difference.values),
            "diverged": difference.diverged,
        }
        for difference in differences
    ]
