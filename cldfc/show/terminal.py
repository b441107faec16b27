"""A network in the terminal, a notebook or a Python prompt: one row per level, one colour per shared kernel."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from importlib import import_module
from itertools import groupby
from operator import itemgetter
from typing import Any, cast

from rich.console import RenderableType

from cldfc.algebra.linearity import operators_of, what_breaks_linearity
from cldfc.algebra.symbols import linear_fact
from cldfc.console import Column, Console, Text, print_table
from cldfc.network.cost import Cost, cost_of_network
from cldfc.network.graph import Graph
from cldfc.network.positions import Key
from cldfc.network.program import Program
from cldfc.output import MOST_ROWS, UTF8, printable, without_middle
from cldfc.show.blocks import Block, BoxLabel, BoxPart, Operand, blocks_of, index_of_levels, sizes_of
from cldfc.show.grid import arrange_parts, drawn_levels
from cldfc.show.labels import colours_of
from cldfc.show.legend import parameter_rows
from cldfc.show.summary import depth_text, notes, open_text
from cldfc.syntax import tree
from cldfc.syntax.format import format_equation, format_let, format_symbol

_Piece = tuple[str, str]
"""Text and its style."""
_SIGNS = {"+": "⊕", "×": "⊗"}
_DIM, _BOLD, _VALUE = "dim", "bold", "gold3"


@dataclass(frozen=True, slots=True)
class _Branch:
    """An operand that joins a chain at a column, from where the chain starts or from elsewhere."""

    from_start: bool
    pieces: tuple[_Piece, ...]
    column: int
    is_minus: bool


@dataclass(frozen=True)
class _Strip:
    """The lines of a block, and its distance from the block before."""

    lines: list[list[_Piece]]
    gap: int

    @cached_property
    def width(self) -> int:
        return max(map(_text_columns, self.lines))


_MOST_PARTS = 60
"""Most parts written on one line."""


class _StripWriter:
    def __init__(self, blocks: Sequence[Block], colours: Mapping[Key, str], encoding: str = UTF8) -> None:
        self.colours = colours
        self.spell = partial(printable, encoding=encoding)
        self.names = {block.value: block.label.plain for block in blocks}
        self.arrow = self.spell("→ ")

    def name(self, value: Key) -> str:
        own = BoxLabel(value[0], ",".join(map(str, value[1]))).plain
        return self.spell(self.names.get(value, own))

    def strip(self, block: Block, is_named: bool) -> _Strip:
        """The lines of a block; `is_named` writes the value that it starts from, superfluous right after that value."""
        chain, start = self.chain(block), _first_value(block)
        head: list[_Piece] = [(f"{self.name(start)} ", _VALUE)] if is_named and start is not None else []
        at = _text_columns(head)
        line, branches = [*head, *([(self.arrow, _DIM)] if start is not None and chain else [])], list[_Branch]()
        for place in chain:
            main, others = _split_operands(block, place, chain)
            if main is not None and main.sign < 0:
                line.append(("−", _DIM))
            branches += [self.branch(block, operand, start, _text_columns(line)) for operand in others]
            line += self.part(block.parts[place])
        if any(branch.from_start for branch in branches):
            line[len(head)] = ("┬".ljust(len(self.arrow)), _DIM)
        line += self.value(block)
        return _Strip([line, *_draw_branches(branches, at)], 3 if is_named else 1)

    def chain(self, block: Block) -> list[int]:
        """The parts on the lane of the value, in the order of application."""
        cells = arrange_parts(block).cells
        return sorted((part for part, (_, lane) in cells.items() if lane == 0), key=lambda part: cells[part])

    def value(self, block: Block) -> Iterator[_Piece]:
        """The value of a block, with its steps if they are folded; no arrow is needed after `⊕`."""
        result = block.result
        if result is not None and (result.part is None or block.parts[result.part].kind != "merge"):
            yield self.arrow, _DIM
        yield self.spell(block.label.plain), _VALUE
        if block.result is None:
            yield " = 0", _DIM
        if block.steps:
            yield self.spell(f" {block.steps}".replace(" = ", "=")), _DIM

    def part(self, part: BoxPart) -> Iterator[_Piece]:
        name = self.spell(part.label.plain)
        if part.kind == "merge":
            yield self.spell(f"{_SIGNS.get(part.label.plain, name)} "), ""
            return
        shared = [self.colours.get(key) for key in part.parameters]
        if shared and shared[0] is not None and None not in shared:
            yield f" {name} ", f"bold white on {shared[0]}"
        else:
            yield name, _BOLD if part.kind == "kernel" else ""
        yield self.spell(f"{part.label.mark} "), _DIM

    def branch(self, block: Block, operand: Operand, start: Key | None, column: int) -> _Branch:
        path = tuple(self.inline(block, operand))
        inner = operand
        while inner.part is not None and len(block.parts[inner.part].operands) == 1:
            inner = block.parts[inner.part].operands[0]
        is_start = start is not None and inner.part is None and inner.values[:1] == (start,)
        return _Branch(is_start, path[1:] if is_start else path, column, operand.sign < 0)

    def inline(self, block: Block, operand: Operand, left: list[int] | None = None) -> Iterator[_Piece]:
        """An operand with everything that leads to it, on one line; merges are in parentheses.

        A part is written at each of its uses, so the length can grow exponentially with the number of levels, as in a
        W-cycle: after `_MOST_PARTS` parts there are only dots. `left` holds the number of parts left until then.
        """
        left = [_MOST_PARTS] if left is None else left
        if operand.part is None:
            yield " ".join(map(self.name, operand.values)) + " ", _VALUE
            return
        if left[0] == 0:
            yield self.spell("… "), _DIM
            return
        left[0] -= 1
        part = block.parts[operand.part]
        if len(part.operands) < 2:
            for inner in part.operands:
                yield from self.inline(block, inner, left)
            yield from self.part(part)
            return
        yield "(", _DIM
        for at, inner in enumerate(part.operands):
            if at or inner.sign < 0:
                yield self.spell("− " if inner.sign < 0 else f"{part.label.name} "), _DIM
            *pieces, (text, style) = self.inline(block, inner, left)
            yield from [*pieces, (text if inner is not part.operands[-1] else text.rstrip(), style)]
        yield ") ", _DIM

    def sentence(self, block: Block) -> list[_Piece]:
        """A block on a single line without branches, which can be broken between any two pieces."""
        result = [] if block.result is None else list(self.inline(block, block.result))
        return [*result, *self.value(block)]


def _first_value(block: Block) -> Key | None:
    if block.result is None:
        return None
    operand = block.result
    cells = arrange_parts(block).cells
    while operand.part is not None:
        operands = block.parts[operand.part].operands
        on_lane = [o for o in operands if o.part is not None and cells[o.part][1] == 0]
        operand = (on_lane or list(operands))[0] if operands else Operand(None)
    return operand.values[0] if operand.values else None


def _split_operands(block: Block, place: int, chain: Sequence[int]) -> tuple[Operand | None, list[Operand]]:
    """The operand of a part that is on its chain, and the others."""
    operands = list(block.parts[place].operands)
    main = next((o for o in operands if o.part is not None and o.part in chain), operands[0] if operands else None)
    return main, [operand for operand in operands if operand is not main]


def _draw_branches(branches: Sequence[_Branch], start: int) -> list[list[_Piece]]:
    """The lines below a chain, with the shortest branches on top."""
    placed: list[tuple[int, int, _Branch]] = []
    taken: list[list[tuple[int, int]]] = []
    lefts = [(_left_end(branch, start), branch) for branch in branches]
    for left, branch in sorted(lefts, key=lambda found: found[1].column - found[0]):
        row = 0
        while row < len(taken) and any(left <= b + 1 and a <= branch.column + 1 for a, b in taken[row]):
            row += 1
        if row == len(taken):
            taken.append([])
        taken[row].append((left, branch.column))
        placed.append((row, left, branch))
    rows = [_Canvas() for _ in taken]
    for row, left, branch in placed:
        rows[row].write(left, _branch_text(branch, left))
        for above in rows[:row]:
            for column in {branch.column, *([left] if branch.from_start else [])}:
                above.cross(column)
    return [row.pieces() for row in rows]


def _left_end(branch: _Branch, start: int) -> int:
    return start if branch.from_start else max(0, branch.column - _text_columns(branch.pieces) - 1 - branch.is_minus)


def _branch_text(branch: _Branch, left: int) -> list[_Piece]:
    """`╰── R2↓2 ──╯`, `f1 ╯`."""
    minus: list[_Piece] = [("−", _DIM)] * branch.is_minus
    if not branch.from_start:
        room = branch.column - left - _text_columns(branch.pieces) - branch.is_minus
        return [*branch.pieces, ("─" * max(0, room), _DIM), *minus, ("╯", _DIM)]
    room = branch.column - left - 1 - _text_columns(branch.pieces) - branch.is_minus
    if not branch.pieces:
        return [(f"╰{'─' * room}", _DIM), *minus, ("╯", _DIM)]
    before = max(1, room // 2)
    return [(f"╰{'─' * (before - 1)} ", _DIM), *branch.pieces, ("─" * max(0, room - before), _DIM), *minus, ("╯", _DIM)]


class _Canvas:
    """A line that can be written in any order."""

    def __init__(self) -> None:
        self.cells: dict[int, _Piece] = {}

    def write(self, column: int, pieces: Sequence[_Piece]) -> None:
        for content, style in pieces:
            for character in content:
                self.cells[column] = character, style
                column += 1

    def cross(self, column: int) -> None:
        """Draw a vertical line through this one."""
        there = self.cells.get(column, (" ", ""))[0]
        self.cells[column] = {" ": "│", "─": "┼", "╯": "┤", "╰": "├"}.get(there, there), _DIM

    def pieces(self) -> list[_Piece]:
        cells = [self.cells.get(at, (" ", "")) for at in range(1 + max(self.cells, default=-1))]
        return [("".join(text for text, _ in some), style) for style, some in groupby(cells, itemgetter(1))]


def _text_columns(pieces: Sequence[_Piece]) -> int:
    """The width of a text in columns; every character of the language is one column wide."""
    return sum(len(text) for text, _ in pieces)


def show_network(graph: Graph, console: Console, is_full: bool = False, is_drawn: bool = True) -> None:
    """Print a network as written, its equations, levels and kernels, and the totals as written and as computed.

    `is_full` draws every step, and every row however many there are. With `is_drawn` false, the levels are left out.
    """
    written, most = graph.as_written, None if is_full else MOST_ROWS
    console.print(Text(graph.program.model, style="bold"))
    console.print()
    _print_equations(graph.program, console, most)
    console.print()
    _print_facts(graph.program, console)
    if is_drawn:
        _print_levels(written, console, most)
        console.print()
    _print_kernels(written, console, most)
    _print_totals(cost_of_network(written), cost_of_network(graph), console)
    for note in notes(graph):
        console.print(note)


def _left_out(count: int, what: str) -> str:
    return f"… {count:,} more {what} (--full)"


def _print_equations(program: Program, console: Console, most: int | None) -> None:
    first, count, last = without_middle([s for s in program.spec.statements if isinstance(s, tree.Equation)], most)
    widest = max(len(format_symbol(equation.left)) for equation in [*first, *last])
    lines = [Text(f"  {format_equation(equation, widest)}") for equation in [*first, *last]]
    if count:
        lines.insert(len(first), Text(f"  {_left_out(count, 'equations')}", _DIM))
    _print_lines(lines, console)


def _print_facts(program: Program, console: Console) -> None:
    """Print each operator with what makes it nonlinear, or a bound on its norm, then the constraints proved."""
    operators = list(operators_of(program.spec))
    head = max((len(format_symbol(operator.symbol)) for operator in operators), default=0)
    texts = [printable(format_let(operator, head), console.encoding) for operator in operators]
    width = max(map(len, texts), default=0)
    for operator, text in zip(operators, texts, strict=True):
        broken = what_breaks_linearity(operator, program.spec)
        fact = f"nonlinear: {', '.join(broken)}" if broken else linear_fact(operator, program)
        console.print(Text.assemble(f"  {text:{width}}   ", (printable(fact, console.encoding), "dim")))
    constraints = [statement for statement in program.spec.statements if isinstance(statement, tree.Constrain)]
    for constraint in constraints:
        console.print(Text.assemble(f"  {format_symbol(constraint.symbol)} ≥ 0   ", ("proved", "green4")))
    if operators or constraints:
        console.print()


def _print_levels(graph: Graph, console: Console, most: int | None) -> None:
    """Print a row for each level: its values from left to right, each after the parts that compute it.

    `most` is how many levels there are at most, and values of one; of more, the middle is left out.
    """
    blocks = blocks_of(graph, is_full=most is None)
    rows: dict[int | None, list[Block]] = {}
    for block, level in zip(blocks, drawn_levels(blocks), strict=True):
        rows.setdefault(level, []).append(block)
    writer = _StripWriter(blocks, colours_of(graph), console.encoding)
    index = printable(index_of_levels(graph.program), console.encoding)
    spell = partial(printable, encoding=console.encoding)
    first, count, last = without_middle(sorted(rows, key=lambda level: (level is not None, level)), most)
    heads: dict[int | None, tuple[str, str]] = {}
    for level in [*first, *last]:
        sizes = sizes_of(graph, [block for block in rows[level] if block.level == level])
        shown = ", ".join(sizes) if len(sizes) < 3 else f"{sizes[0]} … {sizes[-1]}"
        heads[level] = "" if level is None else f"{index}={level}", spell(shown)
    widths = [max(len(head[at]) for head in heads.values()) for at in (0, 1)]
    indent = sum(widths) + 3 * bool(widths[0]) + 2
    lines: list[Text] = []
    for level, (name, shape) in heads.items():
        if count and level == last[0]:
            lines.append(Text(f" {_left_out(count, 'levels')}", _DIM))
        label = Text.assemble((f" {name:{widths[0]}} ", "bold reverse"), " ") if widths[0] else Text()
        label.append(f"{shape:{widths[1]}}  ", style="dim")
        for at, line in enumerate(_lay_row(writer, rows[level], console.width - indent, most)):
            lines.append(cast(Text, Text.assemble(label if at == 0 else " " * indent, *line)))
    _print_lines(lines, console, no_wrap=True, overflow="crop")


def _print_lines(lines: Sequence[Text], console: Console, **options: Any) -> None:
    """Print lines as one text, which is much faster than one by one."""
    if lines:
        console.print(Text("\n").join(lines), **options)


def _lay_row(writer: _StripWriter, blocks: Sequence[Block], width: int, most: int | None) -> Iterator[list[_Piece]]:
    """The lines of one level; of more than `most` blocks, the middle is left out."""
    first, count, last = without_middle(blocks, most)
    yield from _lay_strips(writer, first, width)
    if count:
        yield [(_left_out(count, "values"), _DIM)]
        yield from _lay_strips(writer, last, width)


def _lay_strips(writer: _StripWriter, blocks: Sequence[Block], width: int) -> Iterator[list[_Piece]]:
    """The lines of some blocks, with as many of them side by side as fit into `width`."""
    beside: list[_Strip] = []
    before: Key | None = None
    for block in blocks:
        follows = bool(beside) and _first_value(block) == before
        strip = writer.strip(block, not follows)
        if beside and sum(s.width + s.gap for s in [*beside, strip]) - beside[0].gap > width:
            yield from _side_by_side(beside)
            beside, strip = [], writer.strip(block, True)
        if strip.width > width:
            yield from _break_line(writer.sentence(block), width)
            before = None
        else:
            beside.append(strip)
            before = block.value
    yield from _side_by_side(beside)


def _side_by_side(strips: Sequence[_Strip]) -> Iterator[list[_Piece]]:
    for row in range(max((len(strip.lines) for strip in strips), default=0)):
        line: list[_Piece] = []
        for strip, after in zip(strips, [*(s.gap for s in strips[1:]), 0], strict=True):
            here = strip.lines[row] if row < len(strip.lines) else []
            line += [*here, (" " * (strip.width - _text_columns(here) + after), "")]
        yield line


def _break_line(pieces: Sequence[_Piece], width: int) -> Iterator[list[_Piece]]:
    line: list[_Piece] = []
    for piece in pieces:
        if line and _text_columns([*line, piece]) > width:
            yield line
            line = []
        line.append(piece)
    yield line


def _print_kernels(graph: Graph, console: Console, most: int | None) -> None:
    """Print shared kernels one by one, all others by name, and what sharing saves."""
    rows: list[list[RenderableType]] = []
    first, count, last = without_middle([*parameter_rows(graph)], most)
    for row in [*first, *last]:
        if count and row is last[0]:
            rows.append([Text(_left_out(count, "kernels"), _DIM), "", "", "", ""])
        name = Text.assemble(("■ " if row.is_kernel else "  ", row.colour or "dim"), row.name)
        saved = f"{row.saved:,}" if row.saved else ""
        rows.append([name, row.shape, str(row.uses), f"{row.parameters:,}", saved])
    heads: dict[str, Column] = {"kernel": "text", "shape": "word"}
    heads |= dict.fromkeys(("uses", "parameters", "saved"), "figure")
    print_table(console, heads, rows, gap=3)


def _print_totals(cost: Cost, computed: Cost, console: Console) -> None:
    text = Text.assemble((f"{cost.parameters:,}", "bold cyan"), " parameters stored")
    if cost.unshared > cost.parameters:
        text.append_text(Text.assemble(" · ", (f"{cost.unshared:,}", "bold cyan"), " without sharing · "))
        text.append(f"{1 - cost.parameters / cost.unshared:.1%} saved", style="bold green")
    console.print()
    console.print(text)
    saved = f" ({cost.multiply_adds:,} as written)" * (cost.multiply_adds != computed.multiply_adds)
    if not cost.open_sizes:
        console.print(f"{computed.multiply_adds:,} multiply-adds for an image{saved}")
    console.print(depth_text(computed, cost))
    if cost.open_sizes:
        console.print(open_text(cost))


_TEXT_WIDTH, _HTML_WIDTH = 80, 110
_PRE = '<pre style="line-height: 1.2; font-family: monospace; overflow-x: auto">{code}</pre>'


def picture_html(graph: Graph, svg: str) -> str:
    """A network for a notebook: its picture, as an image so that its CSS stays inside, and the rest of the report."""
    data = base64.b64encode(svg.encode()).decode()
    image = f'<img alt="{html.escape(graph.program.model)}" src="data:image/svg+xml;base64,{data}"/>'
    console = Console(io.StringIO(), width=_HTML_WIDTH, record=True, force_jupyter=False)
    show_network(graph, console, is_drawn=False)
    return f"<div>{image}\n{console.export_html(code_format=_PRE, inline_styles=True)}</div>"


def picture_text(graph: Graph) -> str:
    console = plain_console()
    show_network(graph, console)
    return printed_text(console)


def preformatted(text: str) -> str:
    return _PRE.format(code=html.escape(text))


def plain_console() -> Console:
    return Console(io.StringIO(), width=_TEXT_WIDTH, color_system=None, force_jupyter=False)


def printed_text(console: Console) -> str:
    """What a plain console has printed, without trailing white space."""
    assert isinstance(console.file, io.StringIO)
    return "\n".join(line.rstrip() for line in console.file.getvalue().splitlines())


def is_notebook() -> bool:
    return Console(io.StringIO()).is_jupyter


def put_out(value: object) -> None:
    """Display a value below the notebook cell, as one output."""
    display: Any = import_module("IPython.display")
    display.display(value)
