"""A comparison of networks in the terminal: a table, and for two specs what they say differently."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table

from cldfc.console import Column, Text, print_table
from cldfc.show.comparison_markdown import ComparisonRow, saved
from cldfc.show.marks import Difference, sharing_text
from cldfc.show.numbers import short_bytes, short_count
from cldfc.syntax.difference import Change, Piece

HEADS = ("params", "unshared", "saved", "macs", "convs", "depth", "kept")
LEGEND = "unshared: params without sharing · kept: activations for backward, per image"
BEFORE, AFTER = "red", "green4"


def show_comparison(rows: Sequence[ComparisonRow], differences: Sequence[Difference], console: Console) -> None:
    heads: dict[str, Column] = {"model": "text"}
    heads |= dict.fromkeys(HEADS, "figure")
    print_table(console, heads, [[row.label, *short_figures(row)] for row in rows])
    console.print(Text(LEGEND, style="dim"))
    if len(rows) == 2:
        console.print()
        show_difference(rows, differences[0], console)


def short_figures(row: ComparisonRow) -> Iterator[str]:
    cost = row.cost
    yield short_count(cost.parameters)
    yield short_count(cost.unshared)
    yield f"{saved(cost):.1%}" if cost.unshared > cost.parameters else ""
    yield short_count(cost.multiply_adds)
    yield f"{cost.convolutions:,}"
    yield f"{cost.depth:,}"
    yield short_bytes(cost.kept.each_image)


def show_difference(rows: Sequence[ComparisonRow], difference: Difference, console: Console) -> None:
    if not difference.statements and not difference.sharing:
        console.print("no difference")
        return
    console.print(Text(f"--- {rows[0].spec}", style="bold"))
    console.print(Text(f"+++ {rows[1].spec}", style="bold"))
    console.print(statements_grid(difference.statements, console.color_system is not None))
    if difference.sharing:
        console.print()
        console.print(Text("sharing", style="bold"))
    for family, both in difference.sharing.items():
        console.print(Padding(Text(sharing_text(family, *both)), (0, 0, 0, 2), expand=False))


def statements_grid(changes: Iterable[Change], in_colour: bool) -> Table:
    """Each statement under the sign of its spec; without colours, what differs in it stands below."""
    grid = Table.grid(padding=(0, 1))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for change in changes:
        before, after = change.pieces()
        if before:
            grid.add_row(Text("-", style=BEFORE), marked(before, BEFORE))
        if after:
            grid.add_row(Text("+", style=AFTER), marked(after, AFTER))
        if not in_colour and (symbols := change.symbols()):
            grid.add_row("", Text(f"[{', '.join(symbol_text(*pair) for pair in symbols)}]"))
    return grid


def marked(pieces: Iterable[Piece], style: str) -> RenderableType:
    return Text.assemble(*((text, f"bold underline {style}" if differs else style) for text, differs in pieces))


def symbol_text(before: str, after: str) -> str:
    """`A@ℓ,i → A@ℓ`; `+ σ ∘` and `- σ ∘` where one side has nothing."""
    if before and after:
        return f"{before} → {after}"
    return f"- {before}" if before else f"+ {after}"
