"""Compares networks, their costs and their statements: as a table, as Markdown, in a picture."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table

from cldfc.console import Column, Text, print_table
from cldfc.network.cost import Cost, Sharing, compare_sharing, cost_of_network
from cldfc.network.graph import Graph
from cldfc.output import short_bytes, short_count
from cldfc.show.drawing import DrawnBox, Picture
from cldfc.show.terminal import plain_console, printed_text
from cldfc.syntax import tree
from cldfc.syntax.difference import Change, Piece, compare_trees


@dataclass(frozen=True, slots=True)
class Difference:
    """The statements, and the sharing of parameters, in which two networks differ."""

    statements: tuple[Change, ...]
    sharing: Mapping[str, tuple[Sharing | None, Sharing | None]]


def difference_of(before: Graph, after: Graph) -> Difference:
    statements = compare_trees(before.program.spec, after.program.spec)
    return Difference(tuple(statements), compare_sharing(before, after))


def sharing_text(family: str, before: Sharing | None, after: Sharing | None) -> str:
    """`A: one per (ℓ, i), 8 kernels → one per ℓ, 4 kernels`."""
    return f"{family}: {before or 'none'} → {after or 'none'}"


def find_marks(difference: Difference, after: Graph, picture: Picture) -> frozenset[int]:
    """The boxes to mark in a picture of the second network, by number.

    These are kernels and scalars that are declared or shared differently, and values defined by another equation.
    """
    changed = [change.after for change in difference.statements if change.after is not None]
    declared = {s.symbol.name for s in changed if isinstance(s, tree.KernelStatement | tree.Scalar)}
    names = declared | difference.sharing.keys()
    equations = {statement for statement in changed if isinstance(statement, tree.Equation)}
    return frozenset(at for at, node in enumerate(picture.nodes) if _is_marked(after, node, names, equations))


def _is_marked(graph: Graph, node: DrawnBox, names: set[str], equations: set[tree.Equation]) -> bool:
    if node.kind != "value":
        return any(name in names for name, _ in node.parameters)
    return node.instance >= 0 and graph.instances[node.instance].template.statement in equations


_MARKDOWN_HEADS = (
    *("model", "parameters", "without sharing", "saved", "multiply-adds"),
    *("convolutions", "depth", "activations kept, bytes/image"),
)


@dataclass(frozen=True, slots=True)
class _ComparisonRow:
    """One network; `spec` is as given on the command line."""

    spec: str
    model: str
    cost: Cost
    label: str
    """The name of the model, or the spec if several models have that name."""


def _saved(cost: Cost) -> float:
    return 1 - cost.parameters / cost.unshared if cost.unshared else 0.0


def comparison_markdown(rows: Sequence[_ComparisonRow], differences: Sequence[Difference]) -> str:
    lines = [f"| {' | '.join(_MARKDOWN_HEADS)} |", f"|---|{'---:|' * (len(_MARKDOWN_HEADS) - 1)}"]
    lines += [f"| {' | '.join(_exact_figures(row))} |" for row in rows]
    if len(rows) == 2:
        lines += ["", *_difference_lines(rows, differences[0])]
    return "\n".join(lines) + "\n"


def _exact_figures(row: _ComparisonRow) -> Iterator[str]:
    cost = row.cost
    # As code, because Markdown may read underscores in a name as emphasis.
    yield f"`{row.label}`"
    yield f"{cost.parameters:,}"
    yield f"{cost.unshared:,}"
    yield f"{_saved(cost):.1%}"
    yield cost.of_size(f"{cost.multiply_adds:,}")
    yield f"{cost.convolutions:,}"
    yield f"{cost.depth:,}"
    yield cost.of_size(f"{cost.kept.each_image:,}")


def _difference_lines(rows: Sequence[_ComparisonRow], difference: Difference) -> Iterator[str]:
    if not difference.statements and not difference.sharing:
        yield "no difference"
        return
    if difference.statements:
        yield from ("```diff", f"--- {rows[0].spec}", f"+++ {rows[1].spec}")
        for change in difference.statements:
            before, after = change.texts()
            yield from [f"- {before}"] * (before is not None) + [f"+ {after}"] * (after is not None)
        yield "```"
    if difference.sharing:
        yield ""
        yield from (f"- {sharing_text(family, *both)}" for family, both in difference.sharing.items())


_HEADS = ("params", "unshared", "saved", "macs", "convs", "depth", "kept")
_LEGEND = "unshared: params without sharing · kept: activations for backward, per image"
_BEFORE, _AFTER = "red", "green4"


def show_comparison(rows: Sequence[_ComparisonRow], differences: Sequence[Difference], console: Console) -> None:
    heads: dict[str, Column] = {"model": "text"}
    heads |= dict.fromkeys(_HEADS, "figure")
    print_table(console, heads, [[row.label, *_short_figures(row)] for row in rows])
    console.print(Text(_LEGEND, style="dim"))
    if len(rows) == 2:
        console.print()
        _show_difference(rows, differences[0], console)


def _short_figures(row: _ComparisonRow) -> Iterator[str]:
    cost = row.cost
    yield short_count(cost.parameters)
    yield short_count(cost.unshared)
    yield f"{_saved(cost):.1%}" if cost.unshared > cost.parameters else ""
    yield cost.of_size(short_count(cost.multiply_adds))
    yield f"{cost.convolutions:,}"
    yield f"{cost.depth:,}"
    yield cost.of_size(short_bytes(cost.kept.each_image))


def _show_difference(rows: Sequence[_ComparisonRow], difference: Difference, console: Console) -> None:
    if not difference.statements and not difference.sharing:
        console.print("no difference")
        return
    console.print(Text(f"--- {rows[0].spec}", style="bold"))
    console.print(Text(f"+++ {rows[1].spec}", style="bold"))
    console.print(_statements_grid(difference.statements, console.color_system is not None))
    if difference.sharing:
        console.print()
        console.print(Text("sharing", style="bold"))
    for family, both in difference.sharing.items():
        console.print(Padding(Text(sharing_text(family, *both)), (0, 0, 0, 2), expand=False))


def _statements_grid(changes: Iterable[Change], in_colour: bool) -> Table:
    """Each statement after the sign of its spec; without colours, the symbols that differ are listed below it."""
    grid = Table.grid(padding=(0, 1))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for change in changes:
        before, after = change.pieces()
        if before:
            grid.add_row(Text("-", style=_BEFORE), _marked(before, _BEFORE))
        if after:
            grid.add_row(Text("+", style=_AFTER), _marked(after, _AFTER))
        if not in_colour and (symbols := change.symbols()):
            grid.add_row("", Text(f"[{', '.join(_symbol_text(*pair) for pair in symbols)}]"))
    return grid


def _marked(pieces: Iterable[Piece], style: str) -> RenderableType:
    return Text.assemble(*((text, f"bold underline {style}" if differs else style) for text, differs in pieces))


def _symbol_text(before: str, after: str) -> str:
    """`A@ℓ,i → A@ℓ`; `+ σ ∘` or `- σ ∘` if one side is empty."""
    if before and after:
        return f"{before} → {after}"
    return f"- {before}" if before else f"+ {after}"


@dataclass(frozen=True, slots=True)
class Comparison:
    """Networks, and the difference of each of the others from the first."""

    rows: tuple[_ComparisonRow, ...]
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
        _ComparisonRow(spec, model, cost_of_network(graph), spec if models.count(model) > 1 else model)
        for spec, model, graph in zip(specs, models, graphs, strict=True)
    )
    return Comparison(tuple(rows), tuple(difference_of(graphs[0], graph) for graph in graphs[1:]))


def comparison_as_data(comparison: Comparison) -> dict[str, object]:
    """The comparison as plain data, for `--json`.

    `networks` has the `spec` and the `model` of each network, the exact figures of its cost, and `saved`, the fraction
    of parameters that sharing saves. Memory is in bytes; figures that depend on open sizes are null. `differences` has
    for each network but the first the specs `from` and `to`; `statements`, with `before` and `after` (null if missing)
    and `symbols`, pairs of corresponding symbols that differ; and `sharing`, by the name of the parameters.
    """
    first = comparison.rows[0]
    differences = [
        {"from": first.spec, "to": row.spec, **_difference_as_data(difference)}
        for row, difference in zip(comparison.rows[1:], comparison.differences, strict=True)
    ]
    return {"networks": [_network_as_data(row) for row in comparison.rows], "differences": differences}


def _network_as_data(row: _ComparisonRow) -> dict[str, object]:
    cost = row.cost
    return {
        "spec": row.spec,
        "model": row.model,
        "parameters": cost.parameters,
        "parameters_without_sharing": cost.unshared,
        "saved": _saved(cost),
        "multiply_adds": None if cost.open_sizes else cost.multiply_adds,
        "convolutions": cost.convolutions,
        "depth": cost.depth,
        "kept_bytes_per_image": None if cost.open_sizes else cost.kept.each_image,
        "kept_bytes_per_batch": None if cost.open_sizes else cost.kept.each_batch,
    }


def _difference_as_data(difference: Difference) -> dict[str, object]:
    statements: list[dict[str, object]] = []
    for change in difference.statements:
        before, after = change.texts()
        statements.append({"before": before, "after": after, "symbols": change.symbols()})
    sharing = {
        family: {"before": _sharing_as_data(before), "after": _sharing_as_data(after)}
        for family, (before, after) in difference.sharing.items()
    }
    return {"statements": statements, "sharing": sharing}


def _sharing_as_data(sharing: Sharing | None) -> dict[str, object] | None:
    """The sharing of a family of parameters as plain data; None for a family that a network does not have."""
    if sharing is None:
        return None
    return {
        "kind": sharing.kind,
        "count": sharing.count,
        "indices": sharing.indices,
        "tied": sharing.tied,
        "where": sharing.where or None,
    }
