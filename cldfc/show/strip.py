"""One block in the terminal: its chain of parts on a line, and below it what joins the chain.

r2,0 ┬ σ B2,1 σ A2 ⊕ r2,1
     ╰─────────────╯
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from cldfc.network.positions import Key
from cldfc.output import UTF8, printable
from cldfc.show.blocks import Block, BoxPart, Operand
from cldfc.show.columns import arrange_parts

Piece = tuple[str, str]
"""Text and its style."""
SIGNS = {"+": "⊕", "×": "⊗"}
DIM, BOLD, VALUE = "dim", "bold", "gold3"


@dataclass(frozen=True, slots=True)
class Branch:
    """What joins a chain at a column, from where the chain starts or from elsewhere."""

    from_start: bool
    pieces: tuple[Piece, ...]
    column: int
    is_minus: bool


@dataclass(slots=True)
class Strip:
    """The lines of a block, and how far from the block before it they stand."""

    lines: list[list[Piece]]
    gap: int

    @property
    def width(self) -> int:
        return max(map(text_columns, self.lines))


class StripWriter:
    def __init__(self, blocks: Sequence[Block], colours: Mapping[Key, str], encoding: str = UTF8) -> None:
        self.colours = colours
        self.spell = partial(printable, encoding=encoding)
        self.names = {block.value: block.label.plain for block in blocks}
        self.arrow = self.spell("→ ")

    def name(self, value: Key) -> str:
        return self.spell(self.names.get(value, value[0]))

    def strip(self, block: Block, is_named: bool) -> Strip:
        """The lines of a block; `is_named` writes the value that it starts from, for it does not stand before it."""
        chain, start = self.chain(block), first_value(block)
        head: list[Piece] = [(f"{self.name(start)} ", VALUE)] if is_named and start is not None else []
        at = text_columns(head)
        line, branches = [*head, *([(self.arrow, DIM)] if start is not None and chain else [])], list[Branch]()
        for place in chain:
            main, others = split_operands(block, place, chain)
            if main is not None and main.sign < 0:
                line.append(("−", DIM))
            branches += [self.branch(block, operand, start, text_columns(line)) for operand in others]
            line += self.part(block.parts[place])
        if any(branch.from_start for branch in branches):
            line[len(head)] = ("┬".ljust(len(self.arrow)), DIM)
        line += self.value(block)
        return Strip([line, *draw_branches(branches, at)], 3 if is_named else 1)

    def chain(self, block: Block) -> list[int]:
        """The parts on the lane of the value, in the order of use."""
        cells = arrange_parts(block).cells
        return sorted((part for part, (_, lane) in cells.items() if lane == 0), key=lambda part: cells[part])

    def value(self, block: Block) -> Iterator[Piece]:
        """The value of a block, with its steps if it stands for several; no arrow is needed behind `⊕`."""
        result = block.result
        if result is not None and (result.part is None or block.parts[result.part].kind != "merge"):
            yield self.arrow, DIM
        yield self.spell(block.label.plain), VALUE
        if block.result is None:
            yield " = 0", DIM
        if block.steps:
            yield self.spell(f" {block.steps}".replace(" = ", "=")), DIM

    def part(self, part: BoxPart) -> Iterator[Piece]:
        name = self.spell(part.label.plain)
        if part.kind == "merge":
            yield self.spell(f"{SIGNS.get(part.label.plain, name)} "), ""
            return
        shared = [self.colours.get(key) for key in part.parameters]
        if shared and shared[0] is not None and None not in shared:
            yield f" {name} ", f"bold white on {shared[0]}"
        else:
            yield name, BOLD if part.kind == "kernel" else ""
        yield self.spell(f"{part.label.mark} "), DIM

    def branch(self, block: Block, operand: Operand, start: Key | None, column: int) -> Branch:
        path = tuple(self.inline(block, operand))
        inner = operand
        while inner.part is not None and len(block.parts[inner.part].operands) == 1:
            inner = block.parts[inner.part].operands[0]
        is_start = start is not None and inner.part is None and inner.values[:1] == (start,)
        return Branch(is_start, path[1:] if is_start else path, column, operand.sign < 0)

    def inline(self, block: Block, operand: Operand) -> Iterator[Piece]:
        """An operand with all that leads to it in one line; what is joined stands in parentheses."""
        if operand.part is None:
            yield " ".join(map(self.name, operand.values)) + " ", VALUE
            return
        part = block.parts[operand.part]
        if len(part.operands) == 1:
            yield from self.inline(block, part.operands[0])
            yield from self.part(part)
            return
        yield "(", DIM
        for at, inner in enumerate(part.operands):
            if at or inner.sign < 0:
                yield self.spell("− " if inner.sign < 0 else f"{part.label.name} "), DIM
            *pieces, (text, style) = self.inline(block, inner)
            yield from [*pieces, (text if inner is not part.operands[-1] else text.rstrip(), style)]
        yield ") ", DIM

    def sentence(self, block: Block) -> list[Piece]:
        """A block without lines below it, which can be broken anywhere."""
        result = [] if block.result is None else list(self.inline(block, block.result))
        return [*result, *self.value(block)]


def first_value(block: Block) -> Key | None:
    if block.result is None:
        return None
    operand = block.result
    cells = arrange_parts(block).cells
    while operand.part is not None:
        operands = block.parts[operand.part].operands
        on_lane = [o for o in operands if o.part is not None and cells[o.part][1] == 0]
        operand = (on_lane or list(operands))[0] if operands else Operand(None)
    return operand.values[0] if operand.values else None


def split_operands(block: Block, place: int, chain: Sequence[int]) -> tuple[Operand | None, list[Operand]]:
    """The operand of a part that its chain leads to, and the others."""
    operands = list(block.parts[place].operands)
    main = next((o for o in operands if o.part is not None and o.part in chain), operands[0] if operands else None)
    return main, [operand for operand in operands if operand is not main]


def draw_branches(branches: Sequence[Branch], start: int) -> list[list[Piece]]:
    """The lines below a chain: the shortest branches are the highest."""
    placed: list[tuple[int, int, Branch]] = []
    for branch in sorted(branches, key=lambda b: b.column - left_end(b, start)):
        left, row = left_end(branch, start), 0
        while any(r == row and left <= b.column + 1 and left_end(b, start) <= branch.column + 1 for r, _, b in placed):
            row += 1
        placed.append((row, left, branch))
    rows = [Canvas() for _ in range(1 + max((row for row, _, _ in placed), default=-1))]
    for row, left, branch in placed:
        rows[row].write(left, branch_text(branch, left))
        for above in rows[:row]:
            for column in {branch.column, *([left] if branch.from_start else [])}:
                above.cross(column)
    return [row.pieces() for row in rows]


def left_end(branch: Branch, start: int) -> int:
    return start if branch.from_start else max(0, branch.column - text_columns(branch.pieces) - 1 - branch.is_minus)


def branch_text(branch: Branch, left: int) -> list[Piece]:
    """`╰── R2↓2 ──╯`, `f1 ╯`."""
    minus: list[Piece] = [("−", DIM)] * branch.is_minus
    if not branch.from_start:
        room = branch.column - left - text_columns(branch.pieces) - branch.is_minus
        return [*branch.pieces, ("─" * max(0, room), DIM), *minus, ("╯", DIM)]
    room = branch.column - left - 1 - text_columns(branch.pieces) - branch.is_minus
    if not branch.pieces:
        return [(f"╰{'─' * room}", DIM), *minus, ("╯", DIM)]
    before = max(1, room // 2)
    return [(f"╰{'─' * (before - 1)} ", DIM), *branch.pieces, ("─" * max(0, room - before), DIM), *minus, ("╯", DIM)]


class Canvas:
    """A line that is written to out of order."""

    def __init__(self) -> None:
        self.cells: dict[int, Piece] = {}

    def write(self, column: int, pieces: Sequence[Piece]) -> None:
        for content, style in pieces:
            for character in content:
                self.cells[column] = character, style
                column += 1

    def cross(self, column: int) -> None:
        """Let a line from below pass."""
        there = self.cells.get(column, (" ", ""))[0]
        self.cells[column] = {" ": "│", "─": "┼", "╯": "┤", "╰": "├"}.get(there, there), DIM

    def pieces(self) -> list[Piece]:
        return [self.cells.get(at, (" ", "")) for at in range(1 + max(self.cells, default=-1))]


def text_columns(pieces: Sequence[Piece]) -> int:
    """The columns that a text takes; every letter of the language takes one."""
    return sum(len(text) for text, _ in pieces)
