"""Numbers that differ from level to level or from step to step, as expressions over loop variables."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from cldfc.emit.formulas import Sample, formula_text
from cldfc.emit.identifiers import loop_name
from cldfc.network.formula import Formula
from cldfc.network.positions import Constant, Lookup, Position


@dataclass
class Sizes:
    """Writes positions and sizes; notes the tables that they need, with their entries.

    Tables that `forward` needs are attributes, others are local to `__init__`.
    """

    constants: Sequence[Constant]
    name: Callable[[object, str], str]
    tables: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    attributes: set[str] = field(default_factory=set[str])
    in_forward: bool = False

    def position(self, position: Position) -> str:
        """`level + 1`, `3`, `self.nu[level]`."""
        match position.base:
            case None:
                return str(position.offset)
            case str(name):
                base = loop_name(name)
            case Lookup(constant, at):
                base = f"{self.table(constant)}[{self.position(at)}]"
        sign = "+" if position.offset > 0 else "-"
        return f"{base} {sign} {abs(position.offset)}" if position.offset else base

    def table(self, constant: Constant) -> str:
        """The attribute that holds a constant's values."""
        entries = [f"{at}: {value}" for at, value in enumerate(constant.values, constant.lower)]
        return self.note(constant.name, entries)

    def note(self, wanted: str, entries: list[str]) -> str:
        """The expression for a table with these entries."""
        name = self.name((wanted, tuple(entries)), wanted)
        self.tables[name] = entries
        if self.in_forward:
            self.attributes.add(name)
        return f"self.{name}" if name in self.attributes else name

    def assignment(self, name: str) -> str:
        """What a table is assigned to."""
        return f"self.{name}" if name in self.attributes else name

    def key(self, positions: Sequence[Position]) -> str:
        """The key of a module: `"2_0"`, `f"{level + 1}_0"`."""
        if all(position.base is None for position in positions):
            return f'"{"_".join(str(position.offset) for position in positions)}"'
        parts = [self.position(p) if p.base is None else f"{{{self.position(p)}}}" for p in positions]
        return f'f"{"_".join(parts)}"'

    def fit(self, name: str, samples: Sequence[Sample], formula: Formula | None = None) -> str:
        """An expression that has the given value at each turn of the loops.

        Tried in this order: one number; the formula of the spec; a constant of the spec, at this
        level or a neighbour; a number of times a loop variable, added to such; a table of its own,
        called `name`.
        """
        return (
            self.fit_number(samples)
            or (formula and formula_text(formula, samples, self.position))
            or self.fit_constant(samples)
            or self.fit_counting(name, samples)
            or self.fit_table(name, samples)
        )

    def fit_number(self, samples: Sequence[Sample]) -> str | None:
        """One number."""
        return str(samples[0][1]) if len({value for _, value in samples}) == 1 else None

    def fit_constant(self, samples: Sequence[Sample]) -> str | None:
        """A constant of the spec."""
        for constant in self.constants:
            for shift in (0, 1, -1):
                index = constant.index or ""
                if all(index in turn and constant.at(turn[index] + shift) == value for turn, value in samples):
                    return self.position(Position(Lookup(constant, Position(index, shift)), 0))
        return None

    def fit_counting(self, name: str, samples: Sequence[Sample]) -> str | None:
        """`self.c[level] + 12 * i`: a multiple of one loop variable, and something simpler."""
        if not all(isinstance(value, int) for _, value in samples):
            return None
        for variable in [*samples[0][0]][::-1]:  # the inner one first: a table for each step grows with the steps
            slope = find_slope(variable, samples)
            if slope:
                rest = [(turn, value - slope * turn[variable]) for turn, value in samples]
                factor = loop_name(variable) if abs(slope) == 1 else f"{abs(slope)} * {loop_name(variable)}"
                start = self.fit_rest(name, variable, rest)
                if start == "0" and slope > 0:
                    return factor
                if start is not None and (start.isdecimal() is False or counts_often(variable, samples)):
                    return f"{start} {'+' if slope > 0 else '-'} {factor}"
        return None

    def fit_rest(self, name: str, variable: str, rest: Sequence[Sample]) -> str | None:
        """What is left beside a multiple of a loop variable: a number, a constant, or a table by another one."""
        simple = self.fit_number(rest) or self.fit_constant(rest)
        others = [other for other in rest[0][0] if other != variable]
        for other in others if simple is None else ():
            values = {turn[other]: value for turn, value in rest}
            if len(values) < len(rest) and all(values[turn[other]] == value for turn, value in rest):
                return self.fit_table(name, [({other: at}, value) for at, value in values.items()])
        return simple

    def fit_table(self, wanted: str, samples: Sequence[Sample]) -> str:
        """The values written out, by the first loop variable that tells them apart, or by all."""
        variables = list(samples[0][0])
        for variable in variables:
            values = {turn[variable]: value for turn, value in samples}
            if all(values[turn[variable]] == value for turn, value in samples):
                table = self.note(wanted, [f"{at}: {value}" for at, value in values.items()])
                return f"{table}[{loop_name(variable)}]"
        entries = [f"({', '.join(str(turn[v]) for v in variables)}): {value}" for turn, value in samples]
        return f"{self.note(wanted, entries)}[{', '.join(map(loop_name, variables))}]"


def counts_often(variable: str, samples: Sequence[Sample]) -> bool:
    """Whether a loop variable takes so many values that a straight line through them is no coincidence."""
    return len({turn[variable] for turn, _ in samples}) > 2


def find_slope(variable: str, samples: Sequence[Sample]) -> int:
    """By how much the value grows when this variable alone grows by one; 0 when unknown."""
    seen: dict[tuple[tuple[str, int], ...], Sample] = {}
    for turn, value in samples:
        others = tuple((name, at) for name, at in turn.items() if name != variable)
        if others in seen and seen[others][0][variable] != turn[variable]:
            before, earlier = seen[others]
            slope, rest = divmod(value - earlier, turn[variable] - before[variable])
            return 0 if rest else int(slope)
        seen[others] = (turn, value)
    return 0
