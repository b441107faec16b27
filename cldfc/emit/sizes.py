"""Numbers and formulas of a spec as Python, over loop variables where they differ from step to step."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from math import isclose

from cldfc.emit import python
from cldfc.emit.python import loop_name
from cldfc.network.positions import Choice, Constant, Formula, Lookup, Position, key_text

Sample = tuple[Mapping[str, int], int | float]
_SUM, _PRODUCT, _POWER, _ATOM = range(4)
_FEW = 2
"""So few turns have many rules by coincidence."""
_LARGEST_WHOLE = 2**63
"""torch takes no larger whole number, so it is written as a decimal one."""
_PYTHON = {"+": (" + ", _SUM), "*": (" * ", _PRODUCT), "/": (" / ", _PRODUCT), "^": ("**", _POWER)}


def _formula_text(formula: Formula, samples: Sequence[Sample], position: Callable[[Position], str]) -> str | None:
    """The formula in Python, if that computes the number of each sample; decimal numbers up to rounding."""
    leaf = formula.leaf
    is_computed = isinstance(leaf, Position) and (isinstance(leaf.base, Lookup) or not leaf.is_shifted)
    if formula.sign == "+" and not formula.operands and not is_computed:
        return None
    if any(abs(value) >= _LARGEST_WHOLE for _, value in samples) or not _is_arithmetic(formula):
        return None
    try:
        is_whole = all(isinstance(value, int) for _, value in samples)
        given = ((_computed(formula, turn, is_whole), value) for turn, value in samples)
        agrees = all(
            found == value or (not is_whole and isclose(found, value, rel_tol=1e-14)) for found, value in given
        )
    except (ArithmeticError, KeyError, ValueError):
        return None
    return _write(formula, position, is_whole)[0] if agrees else None


def _is_arithmetic(formula: Formula) -> bool:
    """Whether a formula has no functions, which are left to a table."""
    return formula.sign in _PYTHON and all(map(_is_arithmetic, formula.operands))


def number_text(value: int | float) -> str:
    """A number in Python."""
    return str(float(value) if abs(value) >= _LARGEST_WHOLE else value)


def _entry_text(value: int | float | tuple[int, ...]) -> str:
    return str(value) if isinstance(value, tuple) else number_text(value)


def _computed(formula: Formula, turn: Mapping[str, int], is_whole: bool) -> int | float:
    """What Python computes, where `/` is `//` between whole numbers and `/` otherwise."""
    leaf = formula.leaf
    if isinstance(leaf, Position):
        if isinstance(leaf.base, Lookup):
            value = leaf.base.constant.at(leaf.base.at.value(turn))
            number = leaf.factor * (0 if value is None else value) + leaf.offset
            return number if leaf.divisor == 1 else number // leaf.divisor
        return leaf.value(turn)
    if isinstance(leaf, Choice):
        raise KeyError(leaf.name)  # one of several declarations: there is no formula for all
    if leaf is not None:
        return float(leaf) if isinstance(leaf, Fraction) else leaf
    values = [_computed(operand, turn, is_whole) for operand in formula.operands]
    result = values[0]
    for value in values[1:]:
        if formula.sign == "/":
            result = result // value if is_whole else result / value
        else:
            result = _SIGNS[formula.sign](result, value)
    return result


_SIGNS: Mapping[str, Callable[[int | float, int | float], int | float]] = {
    "+": lambda one, other: one + other,
    "*": lambda one, other: one * other,
    "^": lambda one, other: one**other,
}


def _write(formula: Formula, position: Callable[[Position], str], is_whole: bool) -> tuple[str, int]:
    """The text of a formula, and how strongly its outermost sign binds."""
    leaf = formula.leaf
    if isinstance(leaf, Position):
        if leaf.base is None or (leaf.is_shifted and not leaf.offset):
            return position(leaf), _ATOM
        return position(leaf), _SUM if leaf.divisor != 1 or leaf.offset else _PRODUCT
    if leaf is not None:
        return str(leaf), _ATOM if not str(leaf).startswith("-") else _SUM
    sign, own = _PYTHON[formula.sign]
    if formula.sign == "/" and is_whole:
        sign = " // "
    text, binds = _write(formula.operands[0], position, is_whole)
    text = f"({text})" if binds < own + (formula.sign == "^") else text
    is_atomic = binds == _ATOM
    for operand in formula.operands[1:]:
        negated = _minus(operand) if formula.sign == "+" else None
        inner, binds = _write(negated or operand, position, is_whole)
        needs = binds <= own if formula.sign in "/^" or negated else binds < own
        is_atomic = is_atomic and binds == _ATOM
        text += (" - " if negated else sign) + (f"({inner})" if needs else inner)
    return (text if formula.sign != "^" or is_atomic else text.replace("**", " ** ", 1)), own


def _minus(formula: Formula) -> Formula | None:
    """What is subtracted, if a term is."""
    first = formula.operands[0] if formula.operands else None
    if formula.sign == "*" and first is not None and first.leaf == -1 and len(formula.operands) == 2:
        return formula.operands[1]
    return None


@dataclass
class Sizes:
    """Writes positions and sizes; notes the tables that they need, with their entries.

    Tables that `forward` needs are attributes, others are local to `__init__`. `starts` are the first values of
    the variables that change from turn to turn there.
    """

    constants: Sequence[Constant]
    levels: frozenset[str]
    name: Callable[[object, str], str]
    tables: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    starts: dict[str, str] = field(default_factory=dict[str, str])
    updates: list[str] = field(default_factory=list[str])
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
                is_own = constant not in self.constants and position.is_shifted
                if is_own and (text := self.exception(constant, at, position.offset)):
                    return text
                base = f"{self.table(constant)}[{self.position(at)}]"
        base = base if position.factor == 1 else f"{position.factor} * {base}"
        sign = "+" if position.offset > 0 else "-"
        text = f"{base} {sign} {abs(position.offset)}" if position.offset else base
        if position.divisor == 1:
            return text
        return f"({text}) // {position.divisor}" if position.offset else f"{text} // {position.divisor}"

    def table(self, constant: Constant) -> str:
        """The attribute that holds a constant's values."""
        return self.note(constant.name, self.computed(constant) or self.entries(constant))

    def entries(self, constant: Constant) -> list[str]:
        """A constant's values, one for each level."""
        return [f"{at}: {number_text(value)}" for at, value in zip(constant.places, constant.values, strict=True)]

    def computed(self, constant: Constant) -> list[str] | None:
        """A constant's values as the formula that the spec has for them, if that is no longer than a line."""
        index, places = constant.index, constant.places
        if constant.formula is None or index is None:
            return None
        samples: list[Sample] = [({index: at}, value) for at, value in zip(places, constant.values, strict=True)]
        text = _formula_text(constant.formula, samples, self.position)
        turns = python.count(str(places.start), str(places[-1] + (1 if places.step > 0 else -1)), places.step)
        line = f"{loop_name(index)}: {text} for {loop_name(index)} in {turns}"
        return [line] if text is not None and python.fits(f"self.{constant.name} = {{{line}}}", 2) else None

    def exception(self, constant: Constant, at: Position, offset: int) -> str | None:
        """The bounds of a loop that are the same on all levels but one: `2 if level == 1 else 1`."""
        counts = Counter(constant.values)
        others = max(counts, key=lambda value: (counts[value], constant.values.index(value)))
        places = [place for place in constant.places if constant.at(place) != others]
        if len(places) > 1:
            return None
        if not places:
            return str(int(others) + offset)
        only = constant.at(places[0]) or 0
        return f"({int(only) + offset} if {self.position(at)} == {places[0]} else {int(others) + offset})"

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
            return f'"{key_text([position.offset for position in positions])}"'
        parts = [self.position(p) if p.base is None else f"{{{self.position(p)}}}" for p in positions]
        return f'f"{key_text(parts)}"'

    def fit(self, name: str, samples: Sequence[Sample], formula: Formula | None = None) -> str:
        """An expression that has the given value at each turn of the loops.

        Tried in this order: one number; the formula of the spec; a constant of the spec, at this
        level or a neighbour; a multiple of a loop variable, added to such; a table of its own,
        called `name`.
        """
        return self.fit_rule(name, samples, formula) or self.fit_table(name, samples)

    def fit_rule(self, name: str, samples: Sequence[Sample], formula: Formula | None = None) -> str | None:
        """The same, but for a table with an entry for each step."""
        return (
            self.fit_number(samples)
            or (formula and _formula_text(formula, samples, self.position))
            or self.fit_constant(samples)
            or self.fit_counting(name, samples)
            or self.fit_sum(samples)
            or self.fit_levels(name, samples)
        )

    def fit_running(self, name: str, samples: Sequence[Sample], others: Mapping[str, Sequence[Sample]]) -> str | None:
        """A variable that each turn sets for the next, if such a rule gives the value; `others` have texts already.

        The line that sets it stays in `updates` until it is taken.
        """
        if len(samples) <= _FEW or not all(isinstance(value, int) for _, value in samples):
            return None
        turns, values = [turn for turn, _ in samples[:-1]], [int(value) for _, value in samples]
        for sign, new in (("=", values[1:]), ("+=", [after - before for before, after in pairwise(values)])):
            known = [text for text, other in others.items() if [value for _, value in other[:-1]] == new]
            text = known[0] if known else self.fit_rule(name, list(zip(turns, new, strict=True)))
            if text is not None and not (sign == "=" and text.isdecimal()):
                variable = self.name((name, tuple(values)), name)
                self.starts[variable] = str(values[0])
                self.updates.append(f"{variable} {sign} {text}")
                return variable
        return None

    def take_updates(self) -> list[str]:
        """The lines that set variables for the next turn; each is taken once."""
        taken, self.updates = self.updates, []
        return taken

    def fit_number(self, samples: Sequence[Sample]) -> str | None:
        """One number."""
        return number_text(samples[0][1]) if len({value for _, value in samples}) == 1 else None

    def fit_constant(self, samples: Sequence[Sample]) -> str | None:
        """A constant of the spec."""
        found = (
            at for at, values in self.looked_up(samples) if all(v == s[1] for v, s in zip(values, samples, strict=True))
        )
        return next(map(self.position, found), None)

    def looked_up(self, samples: Sequence[Sample]) -> Iterator[tuple[Position, list[int | float | None]]]:
        """The constants of the spec, at this level or a neighbour, and their values at each turn."""
        for constant in self.constants:
            index = constant.index or ""
            if index in samples[0][0]:
                for shift in (0, 1, -1):
                    values = [constant.at(turn[index] + shift) for turn, _ in samples]
                    yield Position(Lookup(constant, Position(index, shift)), 0), values

    def fit_counting(self, name: str, samples: Sequence[Sample]) -> str | None:
        """`c[level] + 12 * i`, `c[level] * i`: a multiple of a loop variable, and something simpler."""
        if not all(isinstance(value, int) for _, value in samples):
            return None
        for variable in [*samples[0][0]][::-1]:  # the inner one first: a table for each step grows with the steps
            slope, often = _find_slope(variable, samples), _counts_often(variable, samples)
            if slope:
                start = self.fit_rest(name, variable, samples, [slope] * len(samples))
                factor = loop_name(variable) if abs(slope) == 1 else f"{abs(slope)} * {loop_name(variable)}"
                if start == "0" and slope > 0:
                    return factor
                if often and slope > 1 and (text := self.fit_steps_before(variable, slope, samples)):
                    return text
                if start is not None and (often or not start.removeprefix("-").isdecimal()):
                    return f"{start} {'+' if slope > 0 else '-'} {factor}"
            for at, slopes in self.looked_up(samples) if often else ():
                start = None if None in slopes else self.fit_rest(name, variable, samples, slopes)
                if start is not None:
                    factor = f"{self.position(at)} * {loop_name(variable)}"
                    return factor if start == "0" else f"{start} + {factor}"
        return None

    def fit_steps_before(self, variable: str, slope: int, samples: Sequence[Sample]) -> str | None:
        """`w[level] + 12 * (i - 1)`: a constant, and as much again for each step before."""
        for at, values in self.looked_up(samples):
            steps = {
                divmod(slope * turn[variable] + (base or 0) - value, slope)
                for (turn, value), base in zip(samples, values, strict=True)
            }
            if None not in values and len(steps) == 1 and len(set(values)) > 1:
                before, rest = steps.pop()
                if not rest and before:
                    sign = "-" if before > 0 else "+"
                    return f"{self.position(at)} + {slope} * ({loop_name(variable)} {sign} {abs(int(before))})"
        return None

    def fit_sum(self, samples: Sequence[Sample]) -> str | None:
        """`w[level] + 12 * nu[level]`: a constant and a multiple of another, or a number."""
        if not all(isinstance(value, int) for _, value in samples):
            return None
        found = [(at, values) for at, values in self.looked_up(samples) if None not in values]
        if len(samples) <= _FEW:
            found = [(at, values) for at, values in found if isinstance(at.base, Lookup) and not at.base.at.offset]
        rests = [
            (at, [int(value) - (base or 0) for (_, value), base in zip(samples, values, strict=True)])
            for at, values in found
            if len(set(values)) > 1
        ]
        for at, rest in rests:
            for other, values in found:
                factors = {divmod(int(one), int(two)) if two else (0, 1) for one, two in zip(rest, values, strict=True)}
                if other != at and len(factors) == 1 and (factor := factors.pop())[1] == 0 and factor[0] > 1:
                    return f"{self.position(at)} + {factor[0]} * {self.position(other)}"
        for at, rest in rests if len(samples) > _FEW else ():
            if len(set(rest)) == 1:
                return f"{self.position(at)} {'+' if rest[0] > 0 else '-'} {abs(int(rest[0]))}"
        return None

    def fit_rest(
        self, name: str, variable: str, samples: Sequence[Sample], slopes: Sequence[int | float | None]
    ) -> str | None:
        """What is left beside a multiple of a loop variable: a number, or what other ones give."""
        rest = [(t, value - (slope or 0) * t[variable]) for (t, value), slope in zip(samples, slopes, strict=True)]
        values: dict[tuple[tuple[str, int], ...], int | float] = {}
        for turn, value in rest:
            others = tuple((name, at) for name, at in turn.items() if name != variable)
            if values.setdefault(others, value) != value:
                return None
        fewer = [(dict(others), value) for others, value in values.items()]
        return self.fit_number(fewer) or (
            self.fit_rule(name, fewer) if len(fewer) < len(rest) else self.fit_constant(fewer)
        )

    def fit_levels(self, name: str, samples: Sequence[Sample]) -> str | None:
        """A table with an entry for each level."""
        levels = [variable for variable in samples[0][0] if variable in self.levels]
        values: dict[tuple[int, ...], int | float] = {}
        for turn, value in samples:
            if values.setdefault(tuple(turn[variable] for variable in levels), value) != value:
                return None
        return self.fit_table(name, [(dict(zip(levels, at, strict=True)), value) for at, value in values.items()])

    def fit_sides(self, wanted: str, samples: Sequence[tuple[Mapping[str, int], tuple[int, ...]]]) -> str:
        """A number for each axis, as torch takes them: one where they are the same."""
        if all(len(set(sides)) == 1 for _, sides in samples):
            return self.fit(wanted, [(turn, sides[0]) for turn, sides in samples])
        if len({sides for _, sides in samples}) == 1:
            return str(samples[0][1])
        return self.fit_table(wanted, samples)

    def fit_table(self, wanted: str, samples: Sequence[tuple[Mapping[str, int], int | float | tuple[int, ...]]]) -> str:
        """The values written out, by the first loop variable that tells them apart, or by all."""
        variables = list(samples[0][0])
        for variable in variables:
            values = {turn[variable]: value for turn, value in samples}
            if all(values[turn[variable]] == value for turn, value in samples):
                entries = [f"{at}: {_entry_text(value)}" for at, value in values.items()]
                same = (name for name, known in self.tables.items() if known == entries)
                known = next((name for name in same if not self.in_forward and name not in self.attributes), None)
                table = known or self.note(wanted, entries)
                return f"{table}[{loop_name(variable)}]"
        entries = [f"({', '.join(str(turn[v]) for v in variables)}): {value}" for turn, value in samples]
        return f"{self.note(wanted, entries)}[{', '.join(map(loop_name, variables))}]"


def _counts_often(variable: str, samples: Sequence[Sample]) -> bool:
    """Whether a loop variable takes so many values that a straight line through them is no coincidence."""
    return len({turn[variable] for turn, _ in samples}) > 2


def _find_slope(variable: str, samples: Sequence[Sample]) -> int:
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
