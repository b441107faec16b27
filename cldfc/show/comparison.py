"""Networks side by side: what each costs, and what the others say and share differently from the first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cldfc.network.cost import cost_of_network
from cldfc.network.graph import Graph
from cldfc.network.sharing import Sharing
from cldfc.show.comparison_markdown import ComparisonRow, comparison_markdown, saved
from cldfc.show.comparison_terminal import show_comparison
from cldfc.show.marks import Difference, difference_of
from cldfc.show.notebook import plain_console, printed_text


@dataclass(frozen=True, slots=True)
class Comparison:
    """Some networks, and for each after the first its difference from the first."""

    rows: tuple[ComparisonRow, ...]
    differences: tuple[Difference, ...]

    def __str__(self) -> str:
        console = plain_console()
        show_comparison(self.rows, self.differences, console)
        return printed_text(console)

    def _repr_markdown_(self) -> str:
        return comparison_markdown(self.rows, self.differences)


def compare_networks(specs: Sequence[str], graphs: Sequence[Graph]) -> Comparison:
    models = [graph.program.model for graph in graphs]
    rows = (
        ComparisonRow(spec, model, cost_of_network(graph), spec if models.count(model) > 1 else model)
        for spec, model, graph in zip(specs, models, graphs, strict=True)
    )
    return Comparison(tuple(rows), tuple(difference_of(graphs[0], graph) for graph in graphs[1:]))


def comparison_as_data(comparison: Comparison) -> dict[str, object]:
    """The same as plain data, for `--json`.

    `networks` has for each its `spec` and `model`, the exact figures of its cost, and `saved`, what sharing saves of
    the parameters, from 0 to 1; memory is in bytes. `differences` has for each network but the first the specs
    `from` and `to`; `statements` with `before`, `after` (null where one has none) and `symbols`, pairs of what
    stands for what; and `sharing`, by the name of the family of parameters.
    """
    first = comparison.rows[0]
    differences = [
        {"from": first.spec, "to": row.spec, **difference_as_data(difference)}
        for row, difference in zip(comparison.rows[1:], comparison.differences, strict=True)
    ]
    return {"networks": [network_as_data(row) for row in comparison.rows], "differences": differences}


def network_as_data(row: ComparisonRow) -> dict[str, object]:
    cost = row.cost
    return {
        "spec": row.spec,
        "model": row.model,
        "parameters": cost.parameters,
        "parameters_without_sharing": cost.unshared,
        "saved": saved(cost),
        "multiply_adds": cost.multiply_adds,
        "convolutions": cost.convolutions,
        "depth": cost.depth,
        "kept_bytes_per_image": cost.kept.each_image,
        "kept_bytes_per_batch": cost.kept.each_batch,
    }


def difference_as_data(difference: Difference) -> dict[str, object]:
    statements: list[dict[str, object]] = []
    for change in difference.statements:
        before, after = change.texts()
        statements.append({"before": before, "after": after, "symbols": change.symbols()})
    sharing = {
        family: {"before": sharing_as_data(before), "after": sharing_as_data(after)}
        for family, (before, after) in difference.sharing.items()
    }
    return {"statements": statements, "sharing": sharing}


def sharing_as_data(sharing: Sharing | None) -> dict[str, object] | None:
    """A family of parameters: its kind and number, the indices it depends on, and those that a `tie` leaves."""
    if sharing is None:
        return None
    return {
        "kind": sharing.kind,
        "count": sharing.count,
        "indices": sharing.indices,
        "tied": sharing.tied,
        "where": sharing.where or None,
    }
