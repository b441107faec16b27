"""The bounds of loops in LaTeX: `1 : \\nu_{\\ell}`, with the constants of the spec rather than their values."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from cldfc.emit.loops import ForLoop
from cldfc.network.positions import Constant, Lookup, Position
from cldfc.network.program import Program
from cldfc.syntax import tree
from cldfc.syntax.format import Formatter, shift
from cldfc.syntax.walk import mentions


@dataclass(frozen=True)
class Bounds:
    program: Program
    formatter: Formatter

    def interval(self, loop: ForLoop) -> str:
        r"""`1 : J`, downwards `J, \cdots, 1`."""
        first, last = self.bound(loop.first, loop.variable, loop.step < 0), self.last(loop)
        if first == last:
            return first
        return f"{first} : {last}" if loop.step > 0 else rf"{first}, \cdots, {last}"

    def last(self, loop: ForLoop) -> str:
        return self.bound(loop.last, loop.variable, loop.step > 0)

    def bound(self, position: Position, variable: str, is_upper: bool) -> str:
        """A bound; an upper one is counted from the end of the range, `J-1`."""
        base = position.base
        if isinstance(base, Lookup):
            return self.looked_up(base) + shift(position.offset)
        if isinstance(base, str):
            return self.formatter.name(base) + shift(position.offset)
        statements = self.program.spec.statements
        end = next(s.upper for s in statements if isinstance(s, tree.Range) and s.name == variable)
        declared = self.program.ranges[variable].upper
        if is_upper and isinstance(end, tree.Symbol) and declared is not None and declared.base is None:
            distance = position.offset - declared.offset
            if distance in (0, -1):
                return self.formatter.text(end) + shift(distance)
        return str(position.offset)

    def looked_up(self, lookup: Lookup) -> str:
        r"""`\nu_{\ell}`; a list of numbers for a constant that the spec does not have."""
        constant, at = lookup.constant, self.level(lookup.at)
        if constant.name in self.program.constants:
            return f"{self.formatter.name(constant.name)}_{{{at}}}"
        return f"({', '.join(map(str, constant.values))})_{{{at}}}"

    def level(self, position: Position) -> str:
        base = self.formatter.name(position.base) if isinstance(position.base, str) else ""
        return base + shift(position.offset) if base else str(position)

    def constants(self) -> Iterator[str]:
        """The constants that bound a range, for the head: `J`, and of those of each level the first and the last."""
        ranges = [s for s in self.program.spec.statements if isinstance(s, tree.Range)]
        named = {m.name for s in ranges for end in (s.lower, s.upper) for m in mentions(end)}
        for name, constant in self.program.constants.items():
            if name in named:
                yield from self.members(constant)

    def members(self, constant: Constant) -> Iterator[str]:
        """`J`, or `\\nu_{1}`, `\\cdots`, `\\nu_{J}`."""
        name, index = self.formatter.name(constant.name), constant.index
        if index is None:
            yield name
            return
        last = constant.lower + len(constant.values) - 1
        ends = self.bound(Position(None, constant.lower), index, False), self.bound(Position(None, last), index, True)
        yield f"{name}_{{{ends[0]}}}"
        if last > constant.lower:
            yield from ([r"\cdots"] if last > constant.lower + 1 else [])
            yield f"{name}_{{{ends[1]}}}"
