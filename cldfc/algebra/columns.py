"""The indices of equal expressions as a table: which of them tell the expressions apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cldfc.network.positions import Lookup, Position

Row = tuple[int, ...]


def name_columns(rows: Sequence[Row], written: Sequence[Sequence[Position]]) -> list[Position] | None:
    """Each index of the expressions over as few index names as possible; None when there are no good names.

    `rows` has the values of the indices, a row for each expression; `written` says for each index how the
    equations write it. The names are theirs, so that a loop over them is one that the spec knows.
    For A@1 * u@1,0, A@2 * u@2,0 and A@3 * u@3,0, rows (1, 1, 0), (2, 2, 0), (3, 3, 0), they are ℓ, ℓ and 0.
    """
    columns = list(zip(*rows, strict=True))
    found: list[Position] = []
    named: dict[str, tuple[int, ...]] = {}
    for column, ways in zip(columns, written, strict=True):
        position = constant(column) or shifted_column(column, named) or looked_up(column, ways, named)
        if position is None:
            free = [way.base for way in ways if isinstance(way.base, str) and way.base not in named]
            if not free:
                return None
            position = Position(free[0], 0)
            named[free[0]] = column
        found.append(position)
    return found


def constant(column: Row) -> Position | None:
    return Position(None, column[0]) if len(set(column)) == 1 else None


def shifted_column(column: Row, named: Mapping[str, Row]) -> Position | None:
    """An index that has a name already, plus a number."""
    for name, values in named.items():
        differences = {value - base for value, base in zip(column, values, strict=True)}
        if len(differences) == 1:
            return Position(name, differences.pop())
    return None


def looked_up(column: Row, ways: Sequence[Position], named: Mapping[str, Row]) -> Position | None:
    """A constant of the spec at such an index, `ν` at ℓ."""
    for constant in {
        way.base.constant.name: way.base.constant for way in ways if isinstance(way.base, Lookup)
    }.values():
        for name, values in named.items():
            for shift in (0, 1, -1):
                at = Position(Lookup(constant, Position(name, shift)), 0)
                if all(constant.at(base + shift) == value for value, base in zip(column, values, strict=True)):
                    return at
    return None
