"""A network in the terminal: one row per level, one colour per shared kernel, and what sharing saves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from rich.console import Console, RenderableType

from cldfc.algebra.linearity import operators_of, what_breaks_linearity
from cldfc.console import Column, Text, print_table
from cldfc.network.cost import Cost, cost_of_network
from cldfc.network.graph import Graph
from cldfc.network.positions import Key
from cldfc.output import printable
from cldfc.show.blocks import Block, blocks_of, index_of_levels, sizes_of
from cldfc.show.colours import colours_of
from cldfc.show.grid import drawn_levels
from cldfc.show.kernels import parameter_rows
from cldfc.show.strip import Piece, Strip, StripWriter, first_value, text_columns
from cldfc.show.summary import depth_text, notes
from cldfc.syntax import tree
from cldfc.syntax.format import format_equation, format_let, format_symbol


def show_network(graph: Graph, console: Console, is_full: bool = False, is_drawn: bool = True) -> None:
    """Print a network as it is written: its equations, its levels, its kernels and the totals; and what is computed.

    `is_full` draws every step, however many there are; beside another picture nothing is drawn.
    """
    written = graph.as_written
    console.print(Text(graph.program.model, style="bold"))
    console.print()
    equations = [s for s in graph.program.spec.statements if isinstance(s, tree.Equation)]
    widest = max(len(format_symbol(equation.left)) for equation in equations)
    for equation in equations:
        console.print(Text(f"  {format_equation(equation, widest)}"))
    console.print()
    print_facts(graph.program.spec, console)
    if is_drawn:
        print_levels(written, console, is_full)
        console.print()
    print_kernels(written, console)
    print_totals(cost_of_network(written), cost_of_network(graph), console)
    for note in notes(graph):
        console.print(note)


def print_facts(spec: tree.Tree, console: Console) -> None:
    """The operators, each with what breaks its linearity, if anything; and what was proved."""
    operators = list(operators_of(spec))
    head = max((len(format_symbol(operator.symbol)) for operator in operators), default=0)
    texts = [printable(format_let(operator, head), console.encoding) for operator in operators]
    width = max(map(len, texts), default=0)
    for operator, text in zip(operators, texts, strict=True):
        broken = what_breaks_linearity(operator, spec)
        fact = f"nonlinear: {', '.join(broken)}" if broken else "linear"
        console.print(Text.assemble(f"  {text:{width}}   ", (fact, "dim")))
    constraints = [statement for statement in spec.statements if isinstance(statement, tree.Constrain)]
    for constraint in constraints:
        console.print(Text.assemble(f"  {format_symbol(constraint.symbol)} ≥ 0   ", ("proved", "green4")))
    if operators or constraints:
        console.print()


def print_levels(graph: Graph, console: Console, is_full: bool) -> None:
    """One row per level: its values from left to right, each after the parts that lead to it."""
    blocks = blocks_of(graph, is_full)
    rows: dict[int | None, list[Block]] = {}
    for block, level in zip(blocks, drawn_levels(blocks), strict=True):
        rows.setdefault(level, []).append(block)
    writer = StripWriter(blocks, colours_of(graph), console.encoding)
    index = printable(index_of_levels(graph.program), console.encoding)
    spell = partial(printable, encoding=console.encoding)
    heads: dict[int | None, tuple[str, str]] = {}
    for level, row in rows.items():
        sizes = sizes_of(graph, [block for block in row if block.level == level])
        shown = ", ".join(sizes) if len(sizes) < 3 else f"{sizes[0]} … {sizes[-1]}"
        heads[level] = "" if level is None else f"{index}={level}", spell(shown)
    widths = [max(len(head[at]) for head in heads.values()) for at in (0, 1)]
    indent = sum(widths) + 3 * bool(widths[0]) + 2
    for level in sorted(rows, key=lambda level: (level is not None, level)):
        (name, shape), lines = heads[level], list(lay_strips(writer, rows[level], console.width - indent))
        label = Text.assemble((f" {name:{widths[0]}} ", "bold reverse"), " ") if widths[0] else Text()
        label.append(f"{shape:{widths[1]}}  ", style="dim")
        for at, line in enumerate(lines):
            console.print(Text.assemble(label if at == 0 else " " * indent, *line), no_wrap=True, overflow="crop")


def lay_strips(writer: StripWriter, blocks: Sequence[Block], width: int) -> Iterator[list[Piece]]:
    """The lines of one level: as many blocks side by side as there is room for."""
    beside: list[Strip] = []
    before: Key | None = None
    for block in blocks:
        follows = bool(beside) and first_value(block) == before
        strip = writer.strip(block, not follows)
        if beside and sum(s.width + s.gap for s in [*beside, strip]) - beside[0].gap > width:
            yield from side_by_side(beside)
            beside, strip = [], writer.strip(block, True)
        if strip.width > width:
            yield from break_line(writer.sentence(block), width)
            before = None
        else:
            beside.append(strip)
            before = block.value
    yield from side_by_side(beside)


def side_by_side(strips: Sequence[Strip]) -> Iterator[list[Piece]]:
    for row in range(max((len(strip.lines) for strip in strips), default=0)):
        line: list[Piece] = []
        for strip, after in zip(strips, [*(s.gap for s in strips[1:]), 0], strict=True):
            here = strip.lines[row] if row < len(strip.lines) else []
            line += [*here, (" " * (strip.width - text_columns(here) + after), "")]
        yield line


def break_line(pieces: Sequence[Piece], width: int) -> Iterator[list[Piece]]:
    line: list[Piece] = []
    for piece in pieces:
        if line and text_columns([*line, piece]) > width:
            yield line
            line = []
        line.append(piece)
    yield line


def print_kernels(graph: Graph, console: Console) -> None:
    """Kernels that are shared, one by one; the others by name; what sharing saves."""
    rows: list[list[RenderableType]] = []
    for row in parameter_rows(graph):
        name = Text.assemble(("■ " if row.is_kernel else "  ", row.colour or "dim"), row.name)
        saved = f"{row.saved:,}" if row.saved else ""
        rows.append([name, row.shape, str(row.uses), f"{row.parameters:,}", saved])
    heads: dict[str, Column] = {"kernel": "text", "shape": "word"}
    heads |= dict.fromkeys(("uses", "parameters", "saved"), "figure")
    print_table(console, heads, rows, gap=3)


def print_totals(cost: Cost, computed: Cost, console: Console) -> None:
    text = Text.assemble((f"{cost.parameters:,}", "bold cyan"), " parameters stored")
    if cost.unshared > cost.parameters:
        text.append_text(Text.assemble(" · ", (f"{cost.unshared:,}", "bold cyan"), " without sharing · "))
        text.append(f"{1 - cost.parameters / cost.unshared:.1%} saved", style="bold green")
    console.print()
    console.print(text)
    saved = f" ({cost.multiply_adds:,} as written)" * (cost.multiply_adds != computed.multiply_adds)
    console.print(f"{computed.multiply_adds:,} multiply-adds for an image{saved}")
    console.print(depth_text(computed, cost))
